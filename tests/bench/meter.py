"""The CPU seconds and the memory of processes while something runs, by the part that they play."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOK_SECONDS = 1.0
WEIGH_SECONDS = 0.5


class Part(StrEnum):
    """The part that a process plays."""

    WORKERS = "workers"  # they hold the codec
    RUNTIME = "runtime"  # it starts, feeds and watches the workers
    MONGOD = "mongod"
    REDIS = "redis"
    CLIENT = "client"  # it asks for the work, in a process of its own
    BENCHMARK = "benchmark"  # it asks for the work otherwise, and measures
    SEAWEEDFS = "seaweedfs"
    SOURCE = "source"  # of the images


class Usage(NamedTuple):
    """The usage of one run.

    Attributes:
        cpu_seconds: By part.
        peak_bytes: Proportional set size of all weighed parts together, at its highest.
    """

    cpu_seconds: dict[Part, float]
    peak_bytes: int


class Meter:
    """Samples processes while a block runs. A process that ends counts up to its last sample.

    To weigh a process takes the kernel 1 to 4 ms, and Darkroom has 25 of them: so never in a round that is timed.

    Args:
        members: The part that each process plays now, by its pid. A process that was once seen as a worker stays one.
        weighed: The parts whose memory is wanted.
    """

    def __init__(self, members: Callable[[], Mapping[int, Part]], *, weighed: frozenset[Part] = frozenset()) -> None:
        self._members = members
        self._weighed = weighed
        self._pause_seconds = WEIGH_SECONDS if weighed else LOOK_SECONDS
        self._parts: dict[int, Part] = {}
        self._before: dict[int, float] = {}
        self._after: dict[int, float] = {}
        self._peak_bytes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="meter")

    def __enter__(self) -> Self:
        self._look()
        self._before = dict(self._after)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()

    @property
    def usage(self) -> Usage:
        """The usage from the block's begin to its end.

        Raises:
            RuntimeError: No worker was seen, so that what they used is in the other parts.
        """
        if Part.WORKERS not in self._parts.values():
            raise RuntimeError("none of the processes was seen to be a worker: have their titles changed?")
        used = dict.fromkeys(self._parts.values(), 0.0)
        for pid, seconds in self._after.items():
            used[self._parts[pid]] += seconds - self._before.get(pid, 0.0)
        return Usage(used, self._peak_bytes)

    def _sample_until_stopped(self) -> None:
        while not self._stopped.wait(self._pause_seconds):
            self._look()
            if self._weighed:
                self._weigh()

    def _look(self) -> None:
        for pid, part in self._members().items():
            seconds = cpu_seconds(pid)
            if seconds is not None:
                self._after[pid] = seconds
                if self._parts.get(pid) != Part.WORKERS:
                    self._parts[pid] = part

    def _weigh(self) -> None:
        now_bytes = sum(pss_bytes(pid) for pid, part in self._parts.items() if part in self._weighed)
        self._peak_bytes = max(self._peak_bytes, now_bytes)


def cpu_seconds(pid: int) -> float | None:
    """Return user and system time of a process without its children, or None when it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return None
    return times.user + times.system


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process, where shared pages are divided, or 0 when it has ended."""
    try:
        return int(psutil.Process(pid).memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
