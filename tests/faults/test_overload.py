"""Four times the possible work is sent. Refusals say when to try again, memory stays flat, and nothing is lost."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

import httpx
import psutil
import pytest

from deployments.local import processes
from deployments.local.memory import ray_part
from deployments.local.state import State
from tests.support.catalogues import catalogue
from tests.support.jobs import finished
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.service import Service, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fault_table import Note

TIMES = 4
SECONDS = 120
IMAGES = 40  # of a request
PICTURES = 20
WIDTH, HEIGHT = 1600, 1200
MAX_QUEUED_IMAGES = 1200
SENDERS = 64  # which send in waves, so that more come at once than Serve lets wait
SAMPLE_SECONDS = 2
MAX_BYTES_A_MINUTE = 6_000_000  # of each process, in the second half
STORES_MAX_BYTES_A_MINUTE = 40_000_000  # of mongod and SeaweedFS, which fill their caches up to their limits
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Refusal(NamedTuple):
    """An upload that was not accepted."""

    status: int
    retry_after: str | None


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Service]:
    # Without the reuse of results, or all but the first few images would cost nothing.
    with running_service(tmp_path, max_queued_images=MAX_QUEUED_IMAGES, dedupe_seconds=0) as running:
        yield running


class Crowd:
    """Clients that send at a steady rate. Refusals do not slow them down.

    Args:
        service: The service that is overloaded.
        file: The file that each client sends.
        requests_per_second: The rate of all clients together.
    """

    def __init__(self, service: Service, file: bytes, requests_per_second: float) -> None:
        self._service = service
        self._file = file
        self._interval_seconds = SENDERS / requests_per_second
        self.accepted: list[str] = []
        self.refused: list[Refusal] = []

    def send_for(self, seconds: float) -> None:
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(self._send, [time.monotonic() + seconds] * SENDERS))

    def _send(self, until: float) -> None:
        pause, due = threading.Event(), time.monotonic()
        with httpx.Client(headers=self._service.authorization, timeout=30, trust_env=False) as client:
            while due < until:
                pause.wait(max(0, due - time.monotonic()))
                due += self._interval_seconds
                answer = client.post(f"{self._service.url}/api/upload", files={"file": self._file})
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["requestId"])
                else:
                    self.refused.append(Refusal(answer.status_code, answer.headers.get("retry-after")))


class Memory:
    """Samples the resident memory of every process of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self.samples: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        home = self._service.stack.home
        while not self._stopped.wait(SAMPLE_SECONDS):
            for name, started in State.read(home.state_file).servers.items():
                for each in processes.process_tree(started.process, home.path):
                    part = f"ray: {ray_part(processes.command_line(each.pid))}" if name == "ray" else name
                    if part in {"ray: images", "ray: idle workers"}:
                        part = "ray: image worker"  # between its batches its title says that it is idle
                    try:
                        size = psutil.Process(each.pid).memory_info().rss
                    except psutil.NoSuchProcess:
                        continue
                    self.samples[part, each.pid].append((time.monotonic(), size))

    def ended(self) -> dict[str, int]:
        """Return by part how many of its processes ended before the last sample."""
        last = max(samples[-1][0] for samples in self.samples.values())
        return Counter(
            part for (part, _), samples in self.samples.items() if last - samples[-1][0] > 2 * SAMPLE_SECONDS
        )

    def slopes(self) -> dict[str, list[float]]:
        """Return by part the bytes a minute by which each process grew in the second half of its samples."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for (part, _), samples in self.samples.items():
            half = samples[len(samples) // 2 :]
            if len(half) * SAMPLE_SECONDS > SECONDS / 4:
                times, sizes = zip(*half, strict=True)
                found[part].append(statistics.linear_regression(times, sizes).slope * 60)
        return found


def test_uploads_at_four_times_the_pace_are_refused_and_none_is_lost(crowded: Service, note: Note) -> None:
    with Origin() as origin, crowded.client() as darkroom:
        urls = [
            origin.route(f"/{number}.jpg", reply(jpeg(width=WIDTH, height=HEIGHT, seed=number)))
            for number in range(PICTURES)
        ]
        file = catalogue(*[[url] for url in urls * (IMAGES // PICTURES)])
        finished(darkroom, file)  # so that the workers are there
        begun = time.monotonic()
        finished(darkroom, catalogue(*[[url] for url in urls * 10]), timeout_seconds=120)
        images_per_second = 10 * PICTURES / (time.monotonic() - begun)
        crowd = Crowd(crowded, file, TIMES * images_per_second / IMAGES)
        with Memory(crowded) as memory:
            crowd.send_for(SECONDS)
        begun = time.monotonic()
        ends = [darkroom.wait(request_id, timeout_seconds=300) for request_id in crowd.accepted]
        drained_seconds = time.monotonic() - begun
    print(f"{images_per_second:.0f} images/s can be done; {len(crowd.accepted)} requests of {IMAGES} were accepted")
    print(f"refused: {dict(Counter(crowd.refused))}")
    print(f"processes that have ended: {dict(memory.ended())}")
    slopes = memory.slopes()
    for part, values in sorted(slopes.items()):
        print(f"{part:<40}{len(values):>3} processes, at most {max(values) / 1e6:+.2f} MB a minute")
    assert len(crowd.accepted) + len(crowd.refused) > 0.9 * SECONDS * TIMES * images_per_second / IMAGES
    assert crowd.refused
    assert {refusal.status for refusal in crowd.refused} <= {429, 503}
    assert all(refusal.retry_after and int(refusal.retry_after) > 0 for refusal in crowd.refused)
    assert {(end.status, end.counts.completed) for end in ends} == {("completed", IMAGES)}
    limits = defaultdict(lambda: MAX_BYTES_A_MINUTE, dict.fromkeys(("mongod", "seaweedfs"), STORES_MAX_BYTES_A_MINUTE))
    assert {part: max(values) for part, values in slopes.items() if max(values) > limits[part]} == {}
    note(f"uploads at {TIMES} times the pace for {SECONDS} s, until drained", drained_seconds)
