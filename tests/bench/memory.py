"""Whether a worker's memory stays flat over thousands of mixed images, by the settings of the allocator."""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
from statistics import linear_regression
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.pictures import MIX, mixed_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DARKROOM = "as Darkroom's workers"
_ALLOCATORS: Mapping[str, Mapping[str, str]] = {
    "glibc's default": {},
    "one arena": {"MALLOC_ARENA_MAX": "1"},
    DARKROOM: {},  # by mallopt: one arena, and freed memory that is kept
}
_COLUMNS = 8


class Sample(NamedTuple):
    """The size of the worker in bytes. `peak_rss` is the highest RSS until then."""

    images: int
    seconds: float
    rss: int
    pss: int
    peak_rss: int


def run(*, images: int) -> None:
    """Print the samples of each allocator, the growth of memory, and the cost of the setting."""
    mixed_pictures()  # made here, so that the first worker's memory does not show it
    allocators = dict(_ALLOCATORS)
    jemalloc = ctypes.util.find_library("jemalloc")
    if jemalloc is None:
        print("jemalloc is not on this machine: left out.\n")
    else:
        allocators["jemalloc"] = {"LD_PRELOAD": jemalloc}
    samples = {name: _samples(images, name, environment) for name, environment in allocators.items()}
    print(f"### Memory of one worker over {images} images")
    print()
    print("Of a thousand images: " + ", ".join(_described(kind) for kind in MIX) + ".")
    print()
    _print_samples(samples)
    _print_summary(samples)


def _described(kind: tuple[int, str, int, int, dict[str, int]]) -> str:
    share, file_format, width, height, options = kind
    return f"{share} {'progressive ' * ('progressive' in options)}{file_format} of {width} x {height}"


def _samples(images: int, name: str, environment: Mapping[str, str]) -> list[Sample]:
    how = "tuned" if name == DARKROOM else "plain"
    command = [sys.executable, "-m", "tests.bench.memory_worker", str(images), how]
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
    return [Sample(**json.loads(line)) for line in result.stdout.splitlines()]


def _print_samples(samples: Mapping[str, Sequence[Sample]]) -> None:
    """Print a few of the samples, in MB: the others are in the slope."""
    every = next(iter(samples.values()))
    step = max(1, (len(every) - 1) // _COLUMNS)
    print("| PSS, MB, after images |" + "".join(f" {sample.images} |" for sample in every[::step]))
    print("| --- |" + " ---: |" * len(every[::step]))
    for name, found in samples.items():
        print(f"| {name} |" + "".join(f" {sample.pss / 1e6:.1f} |" for sample in found[::step]))
    print()


def _print_summary(samples: Mapping[str, Sequence[Sample]]) -> None:
    default_seconds = next(iter(samples.values()))[-1].seconds
    print("| allocator | peak RSS | growth in the second half, bytes an image | images/s | of the default |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, found in samples.items():
        half = found[len(found) // 2 :]
        growth = linear_regression([each.images for each in half], [each.rss for each in half]).slope
        last = found[-1]
        print(
            f"| {name} | {last.peak_rss / 1e6:.1f} MB | {growth:.0f} "
            f"| {last.images / last.seconds:.1f} | {default_seconds / last.seconds:.3f} |"
        )
    print(flush=True)
