"""`python -m tests.bench`, or `make bench`."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from tests.bench import fairness, latency, memory, simulation, start, stragglers, throughput, worker
from tests.bench.contestants import Coding
from tests.bench.machine import print_machine
from tests.bench.pictures import DIFFERENT

if TYPE_CHECKING:
    from types import FrameType

BENCHMARKS = ("throughput", "worker", "latency", "fairness", "stragglers", "simulation", "memory", "start")
IMAGES = 600
MEMORY_IMAGES = 10_000
ROUNDS = 5


def main() -> None:
    """Run the named benchmarks, or all, one after another."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _leave)  # as an interrupt does, so that all servers are stopped
    print_machine()
    images, rounds = arguments.images or IMAGES, arguments.rounds
    chosen = arguments.benchmarks or BENCHMARKS
    if "throughput" in chosen:
        throughput.run(images=images, rounds=rounds, codings=arguments.coding or tuple(Coding))
    if "worker" in chosen:
        worker.run()
    if "latency" in chosen:
        latency.run(images=images, rounds=rounds)
    if "fairness" in chosen:
        fairness.run(rounds=rounds)
    if "stragglers" in chosen:
        stragglers.run(images=arguments.images or stragglers.IMAGES, rounds=rounds)
    if "simulation" in chosen:
        simulation.run(images=arguments.images or simulation.LARGE_IMAGES)
    if "memory" in chosen:
        memory.run(images=arguments.images or MEMORY_IMAGES)
    if "start" in chosen:
        start.run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Darkroom beside its peers.")
    parser.add_argument("benchmarks", nargs="*", metavar="{" + ",".join(BENCHMARKS) + "}", help="all by default")
    parser.add_argument(
        "--images", type=int, help=f"in a run ({IMAGES} by default, {MEMORY_IMAGES} for memory; at least {DIFFERENT})"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="that are timed (default: %(default)s)")
    parser.add_argument("--coding", type=Coding, action="append", choices=tuple(Coding), help="both by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if arguments.rounds < 1 or (arguments.images is not None and arguments.images < DIFFERENT):
        parser.error(f"at least 1 round and {DIFFERENT} images")
    return arguments


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
