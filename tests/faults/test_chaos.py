"""Everything is killed at random moments of a job and at its end. Nothing is lost, and nothing is there twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from deployments.local.service import bring_up
from deployments.local.supervisor import SUPERVISOR, start_supervisor
from tests.support.kills import GCS, RAYLET, kill_part_of_ray, kill_servers, kill_titled
from tests.support.origin import Origin
from tests.support.service import Service, is_ready, running_service
from tests.support.waiting import wait_until
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fault_table import Note

IMAGES = 500
SLOW_SECONDS = 0.4
DOWNLOADS_PER_TASK = 2  # so that the job takes a minute when nothing happens
HOST_DOWNLOADS = 12  # a killed worker holds its grant for a while: enough is left for the next one
LAST = IMAGES - 120  # a client may see no work for ten seconds, and must see it go on
REDONE_PER_KILL = 5  # on average; that many are in flight, and some were done and not recorded yet
KILLS = 20  # each fault once, and others by chance, but no part of Ray: each time it is started again later
AT_THE_END = 4  # of them: while the request is closed, and its webhook is called
IMAGE_WORKER = "image worker killed"
TOGETHER = 0.5  # of the actors' deaths come before what died just now is back


def power_off(service: Service) -> float:
    """Kill everything at once, and run `darkroom up` after it."""
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
    IMAGE_WORKER: lambda service: kill_titled(service, "images", one=True),
    "raylet killed": lambda service: kill_part_of_ray(service, RAYLET),
    "GCS killed": lambda service: kill_part_of_ray(service, GCS),
    "power cut, then `darkroom up`": power_off,
}


PARTS_OF_RAY = {"raylet killed", "GCS killed", "power cut, then `darkroom up`"}


def some_together(kills: list[str], chance: random.Random) -> list[list[str]]:
    """Return the same kills, alone or in pairs. The second kill of a pair is an actor's."""
    groups: list[list[str]] = []
    for fault in kills:
        if groups and len(groups[-1]) == 1 and fault not in PARTS_OF_RAY and chance.random() < TOGETHER:
            groups[-1].append(fault)
        else:
            groups.append([fault])
    return groups


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Service]:
    changes = {"downloads_per_task": DOWNLOADS_PER_TASK, "max_downloads_per_host": HOST_DOWNLOADS}
    with running_service(tmp_path, webhook_retry_seconds=(0.5,) * 300, **changes) as running:
        start_supervisor(running.stack.home)
        yield running


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_everything_is_killed_at_random_moments(supervised: Service, seed: int, note: Note) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    kills = [*FAULTS, *chance.choices([each for each in FAULTS if each not in PARTS_OF_RAY], k=KILLS - len(FAULTS))]
    chance.shuffle(kills)
    at_the_end = [fault for fault in kills if fault != IMAGE_WORKER][:AT_THE_END]  # when there may be none
    for fault in at_the_end:
        kills.remove(fault)
    groups = some_together(kills, chance)
    moments = sorted(chance.sample(range(5, LAST), len(groups)))
    with (
        Origin() as origin,
        WatchedJob(supervised, origin, images=IMAGES, slow_seconds=SLOW_SECONDS, hook_failures=0.5, seed=seed) as job,
    ):
        for moment, group in zip(moments, groups, strict=True):
            job.await_done(moment, timeout_seconds=180)
            at = [FAULTS[fault](supervised) for fault in group]
            seconds = job.seconds_until_work_went_on(at[-1])
            print(f"{', '.join(group)} after {moment} images; work went on after {seconds:.1f} s")
            note(group[0] if len(group) == 1 else "two of these, one while the other is started again", seconds)
        job.refuses_hook = True
        job.await_done(IMAGES - chance.randrange(20), timeout_seconds=180)
        for fault in at_the_end:
            seconds = job.seconds_until_hook_is_called(FAULTS[fault](supervised))
            print(f"{fault} at the end; the webhook came after {seconds:.1f} s")
            note(f"{fault}, until the webhook comes", seconds)
        job.refuses_hook = False
        wait_until(lambda: is_ready(supervised.url), "all is back", timeout_seconds=60)
        job.check(fetched_again=REDONE_PER_KILL * KILLS)
        assert len(supervised.object_keys("")) == IMAGES
        print(f"{job.fetched - IMAGES} of {IMAGES} pictures were fetched again")
