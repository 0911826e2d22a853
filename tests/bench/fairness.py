"""The waits of small requests: for a cluster that is busy with a large one, and for each other."""

from __future__ import annotations

import itertools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.pictures import product_photographs
from tests.bench.report import at_most, print_times
from tests.bench.source import Source
from tests.support.catalogues import catalogue
from tests.support.origin import Origin, reply
from tests.support.service import running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.client import Darkroom

SMALL_IMAGES = 10
AT_ONCE = 20
LARGE_IMAGES = 20_000
TRIES = 10
MAX_ONE_IMAGE_SECONDS = 0.5
MAX_AT_ONCE_RATIO = 1.5
MAX_SAME_PRIORITY_RATIO = 3.0
MAX_HIGHER_PRIORITY_RATIO = 1.5
_PAUSE_SECONDS = 1.0
_LARGE_HEAD_START_SECONDS = 10
_RUN_SECONDS = 900


class Client:
    """Sends requests and waits for their webhooks."""

    def __init__(self, darkroom: Darkroom, receiver: Origin, source: Source) -> None:
        self.darkroom = darkroom
        self._receiver = receiver
        self._source = source
        self._numbers = itertools.count()

    def seconds(self, images: int, *, priority: int = 5) -> float:
        """Return the seconds from the upload of a request to its webhook."""
        path = f"/webhooks/{next(self._numbers)}"
        url = self._receiver.route(path, reply(status=204))
        begun = time.monotonic()
        self.submit(images, webhook_url=url, priority=priority)
        while not self._receiver.requests_to(path):
            if time.monotonic() - begun > _RUN_SECONDS:
                raise TimeoutError(f"no webhook after {_RUN_SECONDS} s")
            time.sleep(0.005)
        return self._receiver.requests_to(path)[0].at - begun

    def submit(self, images: int, *, webhook_url: str | None = None, priority: int = 5) -> str:
        """Upload a request whose images no request has had before."""
        rows = [[url] for url in self._source.urls(images)]
        return self.darkroom.submit(catalogue(*rows), webhook_url=webhook_url, priority=priority).request_id

    def seconds_of_many(self, requests: int, images: int) -> float:
        """Return the seconds from the first upload of several at once to the last webhook."""
        begun = time.monotonic()
        with ThreadPoolExecutor(requests) as threads:
            list(threads.map(lambda _: self.seconds(images), range(requests)))
        return time.monotonic() - begun


def run(*, rounds: int) -> None:
    """Print how long small requests take, and how much longer than on an idle cluster."""
    with (
        Source(product_photographs()) as source,
        Origin() as receiver,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_service(Path(folder)) as service,
        service.client() as darkroom,
    ):
        client = Client(darkroom, receiver, source)
        client.seconds(AT_ONCE * SMALL_IMAGES)  # warms up
        one = _tried(lambda: client.seconds(1))
        idle = _tried(lambda: client.seconds(SMALL_IMAGES))
        together, alone = [], []
        for _ in range(rounds):
            time.sleep(_PAUSE_SECONDS)
            alone.append(client.seconds(AT_ONCE * SMALL_IMAGES))
            time.sleep(_PAUSE_SECONDS)
            together.append(client.seconds_of_many(AT_ONCE, SMALL_IMAGES))
        large = client.submit(LARGE_IMAGES)
        time.sleep(_LARGE_HEAD_START_SECONDS)
        same, higher = [], []
        for _ in range(TRIES):  # in turns
            same += _tried(lambda: client.seconds(SMALL_IMAGES), 1)
            higher += _tried(lambda: client.seconds(SMALL_IMAGES, priority=9), 1)
        done = darkroom.status(large, limit=1).counts.done
        darkroom.cancel(large)
    print("### Small requests, from the upload to the webhook")
    print()
    print("| | p50 | p95 | slowest | of |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print_times("one image, idle cluster", one)
    print_times(f"{SMALL_IMAGES} images, idle cluster", idle)
    print_times(f"{SMALL_IMAGES} images, beside {LARGE_IMAGES:,} of the same priority", same)
    print_times(f"{SMALL_IMAGES} images of priority 9, beside {LARGE_IMAGES:,} of priority 5", higher)
    print_times(f"one request of {AT_ONCE * SMALL_IMAGES} images", alone)
    print_times(f"{AT_ONCE} requests of {SMALL_IMAGES} images at once, the last one", together)
    print()
    print(f"The large request had {done:,} of its images done when it was cancelled.")
    print()
    for goal in _goals(one=one, idle=idle, same=same, higher=higher, alone=alone, together=together):
        print(f"- {goal}")
    print(flush=True)


def _goals(**seconds: list[float]) -> Iterator[str]:
    middle = {name: median(values) for name, values in seconds.items()}
    yield at_most("seconds from the upload of one image to its webhook", middle["one"], MAX_ONE_IMAGE_SECONDS)
    at_once = f"{AT_ONCE} requests at once, by one with as many images"
    yield at_most(at_once, middle["together"] / middle["alone"], MAX_AT_ONCE_RATIO)
    yield at_most("beside a large one, by an idle cluster", middle["same"] / middle["idle"], MAX_SAME_PRIORITY_RATIO)
    yield at_most("the same with a higher priority", middle["higher"] / middle["idle"], MAX_HIGHER_PRIORITY_RATIO)


def _tried(measure: Callable[[], float], times: int = TRIES) -> list[float]:
    found = []
    for _ in range(times):
        time.sleep(_PAUSE_SECONDS)
        found.append(measure())
    return found
