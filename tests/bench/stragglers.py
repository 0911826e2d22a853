"""The cost of slow answers: a source takes 0.3 s, with and without one answer in a hundred that takes 10 s."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.pictures import product_photographs
from tests.bench.report import at_least
from tests.bench.source import Delay, Source
from tests.support.catalogues import catalogue
from tests.support.service import running_service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.client import Darkroom

IMAGES = 2_000
WARM_UP_IMAGES = 200
USUAL = Delay(usual_seconds=0.3)
STRAGGLING = Delay(usual_seconds=0.3, slow_seconds=10, slow_share=0.01)
CASES: Mapping[str, Delay] = {"at once": Delay(), "after 0.3 s": USUAL, "after 0.3 s, 1% after 10 s": STRAGGLING}
MIN_OF_USUAL = 0.9
MIN_BUSY = 0.85
_RUN_SECONDS = 900


class Run(NamedTuple):
    """The figures of one request."""

    images_per_second: float  # from the upload to the end
    bulk_per_second: float  # until all but the last 2% were done
    busy: float  # part of all cores' time


def run(*, images: int, rounds: int) -> None:
    """Print images a second and how busy the cores were, for each kind of source."""
    runs: dict[str, list[Run]] = {name: [] for name in CASES}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_service(Path(folder), download_timeout_seconds=30) as service,
        service.client() as darkroom,
    ):
        for number in range(rounds + 1):  # the first one warms up
            for name, delay in CASES.items():
                with Source(product_photographs(), delay) as source:
                    found = _run(darkroom, source, images if number else WARM_UP_IMAGES)
                if number:
                    runs[name].append(found)
    print(f"### Stragglers, {images} images, medians of {rounds} rounds in turns")
    print()
    print("| the source answers | images/s | of those that come at once | without the last 2% | cores busy |")
    print("| --- | ---: | ---: | ---: | ---: |")
    speed = {name: median(each.images_per_second for each in found) for name, found in runs.items()}
    bulk = {name: median(each.bulk_per_second for each in found) for name, found in runs.items()}
    busy = {name: median(each.busy for each in found) for name, found in runs.items()}
    for name in CASES:
        share = speed[name] / speed["at once"]
        print(f"| {name} | {speed[name]:.1f} | {share:.3f} | {bulk[name]:.1f} | {busy[name]:.0%} |")
    print()
    usual, straggling = (name for name in CASES if name != "at once")
    print("- " + at_least("with stragglers by without", speed[straggling] / speed[usual], MIN_OF_USUAL))
    print("- " + at_least("the same without the last 2%", bulk[straggling] / bulk[usual], MIN_OF_USUAL))
    print("- " + at_least("cores busy while images come at once", busy["at once"], MIN_BUSY))
    print(flush=True)


def _run(darkroom: Darkroom, source: Source, images: int) -> Run:
    begun, cpu_begun = time.monotonic(), _cpu_seconds()
    request_id = darkroom.submit(catalogue(*[[url] for url in source.urls(images)])).request_id
    bulk_seconds, busy = 0.0, 0.0
    while True:
        status = darkroom.status(request_id, limit=1)
        seconds = time.monotonic() - begun
        if not bulk_seconds and status.counts.done >= 0.98 * images:
            bulk_seconds = seconds
            busy = (_cpu_seconds() - cpu_begun) / seconds / (os.cpu_count() or 1)
        if status.terminal:
            break
        if seconds > _RUN_SECONDS:
            raise TimeoutError(f"{request_id} has not ended after {_RUN_SECONDS} s")
        time.sleep(0.1)
    if status.counts.failed:
        raise RuntimeError(f"{status.counts.failed} images failed: {status.failures}")
    return Run(images / seconds, status.counts.done / (bulk_seconds or seconds), busy)


def _cpu_seconds() -> float:
    """Return the CPU seconds of all cores until now, for all processes."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice)
