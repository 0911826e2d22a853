"""Pictures that crash their decoder, eat all memory, or never come out: each fails alone, and all others are done."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from deployments.local import processes
from tests.support.catalogues import catalogue
from tests.support.jobs import finished
from tests.support.kills import kill_titled
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.poison import poison, poisonable_decoder
from tests.support.service import Service, running_service
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fault_table import Note

ROOM_BYTES = 4_000_000_000  # of which the service takes 2 GB
RESERVE_BYTES = 1_200_000_000  # before Ray ends processes of its own
LATE_SECONDS = 0.7
CODES = {"segfault": "decoder_crashed", "memory": "out_of_memory", "hang": "timeout"}


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Service]:
    """A service whose machine is short of memory before an image reaches its own limit."""
    memory = psutil.virtual_memory()
    used_bytes = memory.total - memory.available
    threshold = (used_bytes + ROOM_BYTES) / memory.total
    # So that nothing but memory ends it; and it is alone soon.
    patient = {
        "image_timeout_seconds": 60,
        "batch_timeout_seconds": 120,
        "max_batch_images": 2,
        "max_memory_fraction": (used_bytes + ROOM_BYTES - RESERVE_BYTES) / memory.total,
    }
    with poisonable_decoder(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", f"{threshold:.3f}")
        with running_service(tmp_path, **patient) as running:
            yield running


class Outcome(NamedTuple):
    """The results of the bad pictures of a job."""

    seconds: float  # that the whole job took
    codes: Counter[str]
    attempts: set[int]


def done_with_poison(service: Service, *, good: int, bad: list[str]) -> Outcome:
    """Run a job, and check that all good pictures are done and each bad one has failed."""
    with Origin() as origin, service.client() as darkroom:
        urls = [origin.route(f"/good-{number}.jpg", reply(jpeg(seed=number))) for number in range(good)]
        for number, kind in enumerate(bad):
            # Some come when others of their batch are done, and some keep their core waiting.
            answer = slow_headers(number % 3 * LATE_SECONDS, reply(poison(kind, seed=1000 + number)))
            url = origin.route(f"/bad-{number}.jpg", answer)
            urls.insert(number * len(urls) // len(bad), url)
        begun = time.monotonic()
        status, products = finished(darkroom, catalogue(*[[url] for url in urls]), timeout_seconds=500)
        seconds = time.monotonic() - begun
    images = {product.input_image_urls[0]: product.images[0] for product in products}
    assert (status.counts.completed, status.counts.failed) == (good, len(bad))
    for url, image in images.items():
        assert image.status == ("completed" if "good" in url else "failed"), (url, image)
    assert len(service.object_keys(status.request_id)) == good
    failed = [image for image in images.values() if image.error]
    return Outcome(seconds, Counter(image.error.code for image in failed if image.error), {e.attempts for e in failed})


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("good", "each"), [pytest.param(40, 1, marks=pytest.mark.brief), pytest.param(200, 5, marks=pytest.mark.long)]
)
def test_poison_fails_alone(own: Service, good: int, each: int, note: Note) -> None:
    bad = [kind for kind in CODES for _ in range(each)]
    outcome = done_with_poison(own, good=good, bad=bad)
    assert outcome.codes == dict.fromkeys(CODES.values(), each)
    assert outcome.attempts == {own.settings.max_attempts}
    note(f"{len(bad)} poison images among {good} (the whole job)", outcome.seconds)


@pytest.mark.brief
@pytest.mark.timeout(120)
def test_a_process_that_hangs_is_ended_although_its_coordinator_has_died(own: Service, note: Note) -> None:
    """Nothing in it can tell the time, and the coordinator that could is gone."""
    with Origin() as origin, own.client() as darkroom:
        url = origin.route("/slow.jpg", slow_headers(LATE_SECONDS, reply(jpeg())))
        request_id = darkroom.submit(catalogue([url])).request_id
        wait_until(lambda: bool(origin.requests), "a worker fetches the picture")
        (hanging,) = own.ray_processes("images")
        processes.send([hanging], signal.SIGSTOP)
        begun = kill_titled(own, "RequestCoordinator")
        wait_until(lambda: not processes.command_line(hanging.pid), "its worker is ended", timeout_seconds=40)
        note("RequestCoordinator killed while a worker hangs, until that one is ended", time.monotonic() - begun)
        assert darkroom.wait(request_id, timeout_seconds=40).counts.completed == 1


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_image_that_takes_the_memory_of_the_machine_fails_alone(crowded: Service, note: Note) -> None:
    """It is ended before Ray would end our actors, and all other workers, guilty or not."""
    outcome = done_with_poison(crowded, good=40, bad=["memory"])
    assert outcome.codes.keys() == {"out_of_memory"}
    logs = crowded.stack.home.ray.glob("session_2*/logs/raylet.out")
    assert not any("OOM kill reason" in file.read_text(errors="replace") for file in logs)
    note("an image that takes the machine's memory, among 40 (the whole job)", outcome.seconds)
