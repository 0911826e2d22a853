"""At random moments of one job, everything that there is gets killed; nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cluster.embedded.service import bring_up
from cluster.embedded.supervisor import SUPERVISOR, start_supervisor
from tests.support.kills import GCS, RAYLET, kill_part_of_ray, kill_servers, kill_titled
from tests.support.origin import Origin
from tests.support.service import Service, running_service
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.conftest import Note

IMAGES = 500
SLOW_SECONDS = 0.3
DOWNLOADS_AT_ONCE = 2  # so that the job takes a minute when nothing happens
LAST = IMAGES - 80  # after which nothing is killed, because a client may see nothing of the work for ten seconds
REDONE_PER_KILL = 5  # on average; that many are in flight, and some were done and not recorded yet
KILLS = 20  # each fault once, and others by chance


def power_off(service: Service) -> float:
    """Everything at once, and `darkroom up` after it."""
    at = kill_servers(service, SUPERVISOR, *service.stack.embedded)
    bring_up(service.given, service.stack.home, lambda _event: None)
    start_supervisor(service.stack.home)
    return at


FAULTS: dict[str, Callable[[Service], float]] = {
    "upload replica killed": lambda service: kill_titled(service, "ServeReplica:upload"),
    "status replica killed": lambda service: kill_titled(service, "ServeReplica:status"),
    "Serve proxy killed": lambda service: kill_titled(service, "ProxyActor"),
    "Serve controller killed": lambda service: kill_titled(service, "ServeController"),
    "queue manager killed": lambda service: kill_titled(service, "QueueManager"),
    "coordinators killed": lambda service: kill_titled(service, "RequestCoordinator"),
    "webhook sender killed": lambda service: kill_titled(service, "WebhookSender"),
    "worker pool killed": lambda service: kill_titled(service, "WorkerPool"),
    "image worker killed": lambda service: kill_titled(service, "images", one=True),
    "raylet killed": lambda service: kill_part_of_ray(service, RAYLET),
    "GCS killed": lambda service: kill_part_of_ray(service, GCS),
    "power cut, then `darkroom up`": power_off,
}


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Service]:
    impatient_host = {"max_downloads_per_host": DOWNLOADS_AT_ONCE, "webhook_retry_seconds": (0.5,) * 30}
    with running_service(tmp_path, **impatient_host) as running:
        start_supervisor(running.stack.home)
        yield running


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_everything_is_killed_at_random_moments(supervised: Service, seed: int, note: Note) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    kills = [*FAULTS, *chance.choices([*FAULTS], k=KILLS - len(FAULTS))]
    chance.shuffle(kills)
    moments = sorted(chance.sample(range(5, LAST), len(kills)))
    seconds: list[tuple[str, float]] = []
    with (
        Origin() as origin,
        WatchedJob(supervised, origin, images=IMAGES, slow_seconds=SLOW_SECONDS, hook_failures=0.5, seed=seed) as job,
    ):
        for moment, fault in zip(moments, kills, strict=True):
            job.await_done(moment, timeout_seconds=180)
            at = FAULTS[fault](supervised)
            seconds.append((fault, job.seconds_until_work_went_on(at, timeout_seconds=180)))
            print(f"{fault} after {moment} images; work went on after {seconds[-1][1]:.1f} s")
        job.check(fetched_again=REDONE_PER_KILL * len(kills))
        assert len(supervised.object_keys("")) == IMAGES
        print(f"{job.fetched - IMAGES} of {IMAGES} pictures were fetched again")
    for each in seconds:
        note(*each)
