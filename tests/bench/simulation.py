"""The limits of the control plane. All of it is real, but the workers do no image.

One request of a million images, and a thousand requests of a hundred.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from deployments.local import processes
from deployments.local.state import State
from tests.bench.manager_calls import manager_calls
from tests.bench.meter import cpu_seconds, pss_bytes
from tests.support.service import running_service

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.client import Darkroom
    from tests.support.service import Service

LARGE_IMAGES = 1_000_000
REQUESTS = 1_000
REQUEST_IMAGES = 100
STUB = Path(__file__).with_name("stub")
ACTORS = {
    "queue manager": ("QueueManager",),
    "coordinators": ("RequestCoordinator",),
    "worker pool": ("WorkerPool",),
    "workers, without any image": ("images", "IDLE"),
    "upload replica": ("ServeReplica:upload",),
    "webhook sender": ("WebhookSender",),
}
SERVERS = ("mongod", "redis")
RAY = ("raylet", "gcs_server")
_LOOK_SECONDS = 2.0
_RUN_SECONDS = 3600


class Sample(NamedTuple):
    """The coordinators at one moment."""

    images_done: int
    largest_bytes: int  # proportional set size


class Process(NamedTuple):
    """A process, and what it is."""

    name: str
    pid: int


def run(*, images: int) -> None:
    """Print CPU by process, the memory of a coordinator, and the calls of the queue manager."""
    os.environ["PYTHONPATH"] = f"{STUB}{os.pathsep}{Path(__file__).parents[2]}"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        limits = {"max_queued_requests_per_key": 2 * REQUESTS, "dedupe_seconds": 0}
        with running_service(Path(folder), **limits) as service, service.client() as darkroom:
            _measure(service, f"one request of {images:,} images", images, lambda: _upload(darkroom, images, 1))
            total = REQUESTS * REQUEST_IMAGES
            what = f"{REQUESTS:,} requests of {REQUEST_IMAGES} images"
            _measure(service, what, total, lambda: _upload(darkroom, REQUEST_IMAGES, REQUESTS))


def _upload(darkroom: Darkroom, images: int, requests: int) -> None:
    rows = "".join(f"{n},Product {n},https://shop.example/images/{n}.jpg\n" for n in range(1, images + 1))
    file = f"Serial Number,Product Name,Input Image Urls\n{rows}".encode()
    for _ in range(requests):
        darkroom.submit(file)


def _measure(service: Service, what: str, images: int, upload: Callable[[], None]) -> None:
    calls_before = manager_calls(service)
    before, samples = _cpu(service), []
    used = dict(before)  # a process that ends counts up to its last sample
    begun = time.monotonic()
    with service.client() as darkroom:
        done_before = _done(darkroom)
        upload()
        uploaded = time.monotonic() - begun
        while True:
            done = _done(darkroom) - done_before
            coordinators = service.ray_processes("RequestCoordinator")
            samples.append(Sample(done, max((pss_bytes(each.pid) for each in coordinators), default=0)))
            used |= _cpu(service)
            if done >= images:
                break
            if time.monotonic() - begun > _RUN_SECONDS:
                raise TimeoutError(f"{done:,} of {images:,} images after {_RUN_SECONDS} s")
            time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - begun
    calls = manager_calls(service) - calls_before
    print(f"### {what[0].upper()}{what[1:]}, workers that do no image")
    print()
    print(f"{uploaded:.0f} s until all was accepted, {seconds:.0f} s to the end: {images / seconds:,.0f} images/s.")
    print(f"The queue manager made {calls / seconds:.1f} calls a second.")
    print()
    print("| CPU, ms an image | |")
    print("| --- | ---: |")
    for name in (*ACTORS, *RAY, *SERVERS):
        cpu = sum(used[each] - before.get(each, 0) for each in used if each.name == name)
        print(f"| {name} | {1000 * cpu / images:.3f} |")
    print()
    print("| images done | the largest coordinator |")
    print("| ---: | ---: |")
    for sample in (*samples[:-1][:: max(1, len(samples) // 8)], samples[-1]):
        print(f"| {sample.images_done:,} | {sample.largest_bytes / 1e6:.0f} MB |")
    print(flush=True)


def _done(darkroom: Darkroom) -> int:
    done, cursor = 0, None
    while True:
        page = darkroom.requests(limit=500, cursor=cursor)
        done += sum(request.counts.done for request in page.requests)
        cursor = page.next_cursor
        if cursor is None:
            return done


def _cpu(service: Service) -> dict[Process, float]:
    """Return the CPU seconds of each process until now."""
    servers = State.read(service.stack.home.state_file).servers
    found = {
        name: [each for title in titles for each in service.ray_processes(title)] for name, titles in ACTORS.items()
    }
    family = processes.process_tree(servers["ray"].process, service.stack.home.path)
    found |= {name: [each for each in family if _program(each.pid) == name] for name in RAY}
    for name in SERVERS:
        found[name] = processes.process_tree(servers[name].process, service.stack.home.path)
    return {Process(name, each.pid): cpu_seconds(each.pid) or 0 for name in found for each in found[name]}


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return ""
