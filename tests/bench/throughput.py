"""Darkroom whole: from the upload to the last result, with all records and progress kept."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster.client import Darkroom
from cluster.embedded import processes
from cluster.embedded.home import Home
from cluster.embedded.memory import memory
from cluster.embedded.state import State
from tests.support.catalogues import catalogue
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.service import running_service
from tests.support.usage import cpu_seconds

if TYPE_CHECKING:
    from tests.support.service import Service

IMAGES = 300
DIFFERENT_IMAGES = 20
WIDTH, HEIGHT = 1936, 1290  # 2.5 megapixels
WARM_UP_IMAGES = 16


class Round(NamedTuple):
    """One measured run."""

    images: int
    seconds: float
    cpu_seconds: dict[str, float]  # of each server's processes
    bytes_in: int
    bytes_out: int


def run() -> None:
    """Print images per second, CPU per image by server, and the memory of each part."""
    with Origin() as origin, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        photos = [jpeg(width=WIDTH, height=HEIGHT, seed=seed) for seed in range(DIFFERENT_IMAGES)]
        urls = [origin.route(f"/{number}.jpg", reply(photo)) for number, photo in enumerate(photos)]
        with running_service(Path(folder)) as service:
            idle = memory(Home(Path(folder)))
            _submit(service, urls[:1] * WARM_UP_IMAGES)
            _print_round(_submit(service, [urls[number % len(urls)] for number in range(IMAGES)]))
            _print_memory("idle", idle)
            _print_memory("after the run", memory(Home(Path(folder))))


def _submit(service: Service, urls: list[str]) -> Round:
    with Darkroom(service.url, api_key=service.token) as darkroom:
        before, begun = _cpu(service), time.monotonic()
        submission = darkroom.submit(catalogue(*[[url] for url in urls]))
        status = darkroom.wait(submission.request_id, timeout_seconds=600, poll_seconds=0.2)
        seconds, after = time.monotonic() - begun, _cpu(service)
    if status.counts.completed != len(urls):
        raise RuntimeError(f"{status.counts.failed} of {len(urls)} images failed: {status.failures}")
    used = {name: after[name] - before[name] for name in after}
    return Round(len(urls), seconds, used, status.bytes.in_, status.bytes.out)


def _cpu(service: Service) -> dict[str, float]:
    home = service.stack.home
    servers = State.read(home.state_file).servers
    return {
        name: cpu_seconds([each.pid for each in processes.family(started.process, home.path)])
        for name, started in servers.items()
    }


def _print_round(measured: Round) -> None:
    print(f"{measured.images} images of 2.5 megapixels, JPEG to JPEG, quality 75, source and stores on this machine")
    print(f"  {measured.images / measured.seconds:8.1f} images/s ({measured.seconds:.1f} s)")
    print(f"  {measured.bytes_in / 1e6:8.1f} MB in, {measured.bytes_out / 1e6:.1f} MB out")
    for name, seconds in measured.cpu_seconds.items():
        print(f"  {1000 * seconds / measured.images:8.1f} ms CPU an image in {name}")


def _print_memory(when: str, parts: list[tuple[str, int]]) -> None:
    print(f"memory, {when} (proportional set size)")
    for name, size_bytes in [*parts, ("all", sum(size_bytes for _, size_bytes in parts))]:
        print(f"  {size_bytes / 1e6:8.1f} MB {name}")
