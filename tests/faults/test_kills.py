"""Accepted work is finished, and is there once, although a store, an actor or everything is killed meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from pymongo import MongoClient

from cluster.client.transport import is_transient
from cluster.errors import ApiError
from cluster.mongo.connection import Database
from cluster.mongo.requests import QueueLease
from cluster.redis.connection import forget_all
from cluster.redis.progress import Progress
from deployments.local import processes
from deployments.local.serve_client import ServeClient
from deployments.local.service import SERVE_CONFIG, restart_dead
from deployments.local.stack import start_servers
from tests.support.catalogues import catalogue
from tests.support.jobs import check_refused, delivered, upload
from tests.support.kills import GCS, kill_part_of_ray, kill_servers, kill_titled
from tests.support.origin import reply
from tests.support.pictures import jpeg
from tests.support.service import is_ready
from tests.support.waiting import wait_until
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fault_table import Note
    from tests.support.origin import Origin
    from tests.support.service import Service

IMAGES = 300
SLOW_SECONDS = 0.2  # no batch takes that for a source to be waited for, with many downloads at once
STARTED = 5  # images that are terminal before something is killed
ADMISSION_SECONDS = 20  # of a small request, by new actors
TAKEOVER_SECONDS = 10
IN_FLIGHT = 40  # at most: concurrent downloads, and images of the second since the last record
GIVEN_UP = 8  # downloads, when another request lets batches end early
UPLOADS, SENDERS = 8, 3
ROWS = 3000  # so that storing them takes a moment, and some die in the middle of it
AGAIN_SECONDS = 0.5
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def job(own: Service, origin: Origin) -> Iterator[WatchedJob]:
    """A job of a few seconds, of which some images are done."""
    with WatchedJob(own, origin, images=IMAGES, slow_seconds=SLOW_SECONDS) as submitted:
        submitted.await_done(STARTED)
        yield submitted


@pytest.mark.brief
def test_work_waits_for_each_store_that_was_killed_and_goes_on(own: Service, origin: Origin, note: Note) -> None:
    def is_told() -> bool:
        return httpx.get(f"{own.url}/readyz", timeout=10, trust_env=False).status_code == 503

    with WatchedJob(own, origin, images=IMAGES, slow_seconds=3 * SLOW_SECONDS) as job:
        job.await_done(STARTED)
        for store in ("mongod", "redis", "seaweedfs"):
            kill_servers(own, store)
            wait_until(is_told, f"readyz tells that {store} is away")
            check_refused(upload(own, catalogue(["https://shop.example/a.jpg"])))
            begun = time.monotonic()
            start_servers(own.given, own.stack.home, lambda _event: None)
            note(f"{store} killed, from its next start", job.seconds_until_work_went_on(begun))
        job.check()  # A store that was away costs no image a second download, as long as the task could wait for it.


def test_progress_is_right_again_when_redis_was_emptied(own: Service, job: WatchedJob, note: Note) -> None:
    def recorded() -> int:
        with MongoClient[dict[str, Any]](own.settings.mongo_url) as client:
            products = client[own.settings.mongo_database]["products"]
            return products.count_documents({"requestId": job.request_id, "processingStatus": "completed"})

    async def counted() -> int:
        """Return the count of Redis, or -1 when it has none. A client would get the count of MongoDB."""
        progress = Progress(own.settings)
        try:
            found = await progress.read(job.request_id, epochs(own, job)["RequestCoordinator"])
        finally:
            await progress.close()
        return -1 if found is None else found.completed

    asyncio.run(forget_all(own.settings))
    at, before = time.monotonic(), recorded()
    wait_until(lambda: asyncio.run(counted()) >= before, "progress is rebuilt")
    assert before <= asyncio.run(counted()) <= recorded() < IMAGES
    wait_until(lambda: job.done >= before, "its client is told")
    seconds = job.seconds_until_work_went_on(at)
    job.check()
    note("Redis emptied", seconds)


def epochs(service: Service, job: WatchedJob) -> dict[str, int]:
    """Return the epochs of the coordinator of the request and of the queue manager."""
    with MongoClient[dict[str, Any]](service.settings.mongo_url) as client:
        database = client[service.settings.mongo_database]
        request = database["processing_requests"].find_one({"requestId": job.request_id})
        lease = database["leases"].find_one()
    assert request is not None
    assert lease is not None
    return {"RequestCoordinator": request["epoch"], "QueueManager": lease["epoch"]}


@pytest.mark.parametrize(
    "actor",
    [
        "RequestCoordinator",
        pytest.param("QueueManager", marks=pytest.mark.long),
        pytest.param("WorkerPool", marks=pytest.mark.long),
    ],
)
def test_work_goes_on_when_an_actor_is_killed(own: Service, job: WatchedJob, actor: str, note: Note) -> None:
    before = epochs(own, job)
    at = kill_titled(own, actor)
    if actor in before:
        wait_until(lambda: epochs(own, job)[actor] > before[actor], "it takes over", timeout_seconds=TAKEOVER_SECONDS)
        note(f"{actor} killed: a newer epoch", time.monotonic() - at)
    with own.client() as darkroom:
        another = darkroom.submit(catalogue([f"{job.origin.url}/0.jpg"])).request_id
        darkroom.wait(another, timeout_seconds=ADMISSION_SECONDS)
    seconds = job.seconds_until_work_went_on(at)
    job.check(fetched_again=GIVEN_UP if actor == "QueueManager" else IN_FLIGHT)
    assert seconds < TAKEOVER_SECONDS
    note(f"{actor} killed", seconds)


@pytest.mark.long
def test_a_webhook_comes_although_its_sender_is_killed_again_and_again(own: Service, job: WatchedJob) -> None:
    job.refuses_hook = True
    job.origin.end_pauses()
    job.await_end()

    def await_call() -> None:
        before = len(job.hook_calls)
        # A sender that was killed in a call keeps the delivery for as long as a call may take.
        wait_until(lambda: len(job.hook_calls) > before, "it is called again", timeout_seconds=60)

    for _ in range(2):
        await_call()
        kill_titled(own, "WebhookSender")
    await_call()
    job.refuses_hook = False
    job.check()


@pytest.mark.long
@pytest.mark.parametrize("actor", ["RequestCoordinator", "QueueManager"])
def test_a_request_is_held_and_goes_on_although_an_actor_is_killed(own: Service, job: WatchedJob, actor: str) -> None:
    with own.client() as darkroom:
        kill_titled(own, actor)
        darkroom.pause(job.request_id)
        wait_until(lambda: job.seen[-1][1].status == "pending", "it waits", timeout_seconds=60)
        kill_titled(own, actor)
        darkroom.resume(job.request_id)
    job.check(fetched_again=3 * IN_FLIGHT)  # by two kills, and by the pause, which ends batches early, too


@pytest.mark.long
@pytest.mark.parametrize("actor", ["RequestCoordinator", "QueueManager"])
def test_a_request_is_cancelled_and_done_again_although_an_actor_is_killed(
    own: Service, job: WatchedJob, actor: str
) -> None:
    with own.client() as darkroom:
        kill_titled(own, actor)
        darkroom.cancel(job.request_id)
        cancelled = darkroom.wait(job.request_id, timeout_seconds=60)
        assert (cancelled.status, cancelled.reason) == ("failed", "cancelled")
        assert {each.code for each in cancelled.failures} == {"cancelled"}
        assert [each.state for each in delivered(darkroom, job.request_id)] == ["delivered"]
        darkroom.retry(job.request_id)
        wait_until(lambda: job.seen[-1][1].status not in {"completed", "failed"}, "its client has seen that")
        del job.seen[:-1]  # only from here on may progress not fall
        at = kill_titled(own, actor)
        job.seconds_until_work_went_on(at)
        job.origin.end_pauses()
        darkroom.wait(job.request_id, timeout_seconds=90)
    job.check(deliveries=2, fetched_again=3 * IN_FLIGHT)  # by two kills, and by the end of the first try


@pytest.mark.long
def test_a_queue_manager_that_another_has_succeeded_leaves(own: Service, job: WatchedJob) -> None:
    async def succeed() -> None:
        async with Database.open(own.settings) as database:
            await QueueLease(database).claim()

    (deposed,) = own.ray_processes("QueueManager")
    asyncio.run(succeed())
    wait_until(lambda: not processes.is_alive(deposed), "it has left")
    job.check(fetched_again=GIVEN_UP)


def restart_mongod(service: Service) -> None:
    kill_servers(service, "mongod")
    start_servers(service.given, service.stack.home, lambda _event: None)


UPLOAD_FAULTS: dict[str, Callable[[Service], object]] = {
    "replica": lambda service: kill_titled(service, "ServeReplica:upload"),
    "proxy": lambda service: kill_titled(service, "ProxyActor"),
    "mongod": restart_mongod,
}


def submit_until_accepted(service: Service, file: bytes, filename: str) -> str:
    """Return the request after as many uploads with one idempotency key as it takes."""
    key = uuid.uuid4().hex
    with service.client() as darkroom:
        while True:
            try:
                return darkroom.submit(file, filename=filename, idempotency_key=key).request_id
            except ApiError as error:
                if not is_transient(error):
                    raise
                threading.Event().wait(AGAIN_SECONDS)


@pytest.mark.long
@pytest.mark.parametrize("fault", UPLOAD_FAULTS)
def test_an_upload_that_dies_half_way_is_there_once_when_it_is_sent_again(
    own: Service, origin: Origin, fault: str
) -> None:
    with own.client() as darkroom, ThreadPoolExecutor(SENDERS) as pool:
        picture = origin.route("/picture.jpg", reply(jpeg()))
        file = catalogue(*[[picture]] * ROWS)
        uploads = [pool.submit(submit_until_accepted, own, file, f"{fault}.csv") for _ in range(UPLOADS)]
        uploads[SENDERS - 1].result()  # some are accepted, and others are under way
        UPLOAD_FAULTS[fault](own)
        assert not all(upload.done() for upload in uploads)
        ids = {upload.result() for upload in uploads}
        ends = [darkroom.wait(request_id, timeout_seconds=120) for request_id in ids]
    assert len(ids) == UPLOADS
    assert {(end.status, end.counts.completed) for end in ends} == {("completed", ROWS)}
    with MongoClient[dict[str, Any]](own.settings.mongo_url) as client:
        stored = client[own.settings.mongo_database]["processing_requests"].find({"filename": f"{fault}.csv"})
        assert {each["requestId"] for each in stored} == ids


@pytest.mark.long
def test_a_server_that_dies_during_a_restart_is_started_again_too(supervised: Service) -> None:
    log = supervised.stack.home.log_file("supervisor")
    kill_part_of_ray(supervised, GCS)
    wait_until(lambda: "darkroom starting" in log.read_text(), "Ray is back", timeout_seconds=60)
    kill_titled(supervised, "DashboardAgent")  # without it, the raylet ends with exit code 0, and the head is of no use
    wait_until(lambda: "not everything could be started" in log.read_text(), "it is noticed", timeout_seconds=30)
    wait_until(lambda: is_ready(supervised.url), "all is ready", timeout_seconds=60)


def fail_to_deploy(service: Service, folder: Path) -> None:
    """Send applications of which none can start."""
    config = yaml.safe_load(SERVE_CONFIG.read_text())
    for application in config["applications"]:
        application["import_path"] = "deployments.serve:nothing"
    broken = folder / "broken.yaml"
    broken.write_text(yaml.safe_dump(config))
    serve = ServeClient(service.stack.dashboard_url, service.stack.ray_token)
    serve.deploy(broken, http_host=service.settings.host, http_port=service.stack.http_port, replica_environment={})
    wait_until(lambda: serve.failure() is not None, "they have failed", timeout_seconds=60)


@pytest.mark.long
def test_a_start_that_has_failed_to_deploy_is_finished_by_the_next_one(own: Service, tmp_path: Path) -> None:
    fail_to_deploy(own, tmp_path)
    assert own.stack.dead() == []
    restart_dead(own.stack.home, lambda _event: None)
    assert is_ready(own.url)
