"""Accepted work is finished on a cluster of three nodes, of which one dies or is cut off from others."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from pymongo import DESCENDING

from actors import registry
from cluster.codes import ImageErrorCode
from cluster.errors import ApiError
from cluster.mongo.connection import Database
from cluster.mongo.products import FencedWrite, ImageResult, ProductStore
from cluster.records import Image, ImageFailure, Status
from deployments.local import processes
from tests.support import network
from tests.support.catalogues import catalogue
from tests.support.cluster import BATCH_IMAGES, HEAD, NODES, STORES, WORKERS, Actor, Cluster, running_cluster
from tests.support.network import DRIVER
from tests.support.node_faults import DEATH, Fault, cut_from
from tests.support.origin import Origin
from tests.support.recorder import Recorder
from tests.support.waiting import wait_until
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.client import Darkroom
    from tests.support.fault_table import Note

COORDINATORS, REPLICAS = "coordinator_", ("SERVE_REPLICA::upload", "SERVE_REPLICA::status")
IMAGES = 150
SLOW_SECONDS = 1.0
STARTED = 8  # images that are terminal before something fails
REDONE = len(WORKERS) * BATCH_IMAGES  # at most: the batch on each core
SETTLED_SECONDS = 2.0
TAKEOVER_SECONDS = 15.0  # 5 until the head counts the node as dead, and up to 10 for new processes on two busy cores
LEAVES_SECONDS = 60.0
GOES_ON_SECONDS = 30.0
RETURN_SECONDS = 90.0
logger = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not network.is_possible(), reason="network namespaces need root and iproute2"),
]


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Not pytest's own folder: the path must be short.
    with tempfile.TemporaryDirectory(prefix="dkr") as folder, running_cluster(Path(folder)) as running:
        yield running
        if request.session.testsfailed:
            running.keep_logs(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def origin(cluster: Cluster) -> Iterator[Origin]:
    with Origin(host=cluster.network.addresses[DRIVER]) as running:
        yield running


class Workers(NamedTuple):
    """The cluster by its workers, as behind a load balancer that uses the head only when no other node answers."""

    cluster: Cluster

    def clients(self) -> list[Darkroom]:
        return self.cluster.clients([node for node in WORKERS if is_ready(self.cluster, node)])

    def object_keys(self, prefix: str) -> set[str]:
        return self.cluster.object_keys(prefix)


@contextmanager
def job_at_work(cluster: Cluster, origin: Origin, *, site: Workers | None = None) -> Iterator[WatchedJob]:
    """Run a job of half a minute, some of which is done."""
    job = WatchedJob(site or cluster, origin, images=IMAGES, slow_seconds=SLOW_SECONDS, hook_failures=0.5)
    with job:
        job.await_done(STARTED)
        logger.info("%s", {each.name: each.node for each in cluster.actors()})
        yield job


def request_of(cluster: Cluster, request_id: str) -> dict[str, Any]:
    found = cluster.database["processing_requests"].find_one({"requestId": request_id})
    assert found is not None
    return found


def epoch_of(cluster: Cluster, job: WatchedJob) -> int:
    return int(request_of(cluster, job.request_id)["epoch"])


def lease_epoch(cluster: Cluster) -> int:
    """Return the epoch of the queue manager."""
    (lease,) = cluster.database["leases"].find()
    return int(lease["epoch"])


def living(cluster: Cluster, name: str) -> Actor:
    (found,) = [each for each in cluster.actors() if each.name == name and each.state == "ALIVE"]
    return found


def keep_off(cluster: Cluster, node: str, *names: str) -> None:
    """Kill the actors on this node until Ray, which puts them anywhere, has put them elsewhere for good."""
    since = time.monotonic()

    def is_done() -> bool:
        nonlocal since
        found = [each for each in cluster.actors() if each.name.startswith(names)]
        for each in found:
            if each.state == "ALIVE" and each.node == node:
                with suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
        are_all_there = all(any(each.name.startswith(name) for each in found) for name in names)
        if not are_all_there or any(each.state != "ALIVE" or each.node == node for each in found):
            since = time.monotonic()
        return time.monotonic() - since > SETTLED_SECONDS

    wait_until(is_done, f"none of them is on {node}", timeout_seconds=90)


def submit_by_any_node(cluster: Cluster, origin: Origin) -> str:
    """Send a request of one image to the first node that accepts it."""
    accepted: list[str] = []

    def is_accepted() -> bool:
        for client in cluster.clients():
            try:
                with client as darkroom:
                    accepted.append(darkroom.submit(catalogue([f"{origin.url}/0.jpg"])).request_id)
            except ApiError as error:
                logger.info("%s", error)
            else:
                return True
        return False

    wait_until(is_accepted, "a node accepts a request", timeout_seconds=60)
    return accepted[0]


def is_ready(cluster: Cluster, node: str, *, head: bool = True) -> bool:
    """Return whether the node is ready and tells that the head is there, or is not."""
    try:
        answer = httpx.get(f"{cluster.url(node)}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and answer.json()["checks"]["rayHead"]["ok"] is head


def has_image_worker(cluster: Cluster, node: str) -> bool:
    return any(processes.command_line(pid).startswith("ray::images") for pid in cluster.network.pids(node))


def is_completed(cluster: Cluster, request_id: str) -> bool:
    return bool(request_of(cluster, request_id)["status"] == "completed")


def await_return(cluster: Cluster) -> None:
    wait_until(lambda: cluster.alive() == set(NODES), "all nodes are back", timeout_seconds=RETURN_SECONDS)


def seconds_since(begun: float, predicate: Callable[[], bool], description: str, timeout_seconds: float) -> float:
    wait_until(predicate, description, timeout_seconds=timeout_seconds)
    return time.monotonic() - begun


def seconds_to_next(job: WatchedJob, begun: float) -> float:
    """Return the seconds since then until more is done than now."""
    done = job.done
    return seconds_since(begun, lambda: job.done > done, "work goes on", GOES_ON_SECONDS)


def write_late(cluster: Cluster, request_id: str, epoch: int) -> bool:
    """Write as a batch of an earlier coordinator that has hung until now. Return whether the write was accepted.

    Before the newer coordinator has taken over the products, the write would not be late.
    """
    unfinished = {"requestId": request_id, "processingStatus": {"$nin": ["completed", "failed"]}}
    rows: list[int] = []

    def is_taken_over() -> bool:
        products = cluster.database["products"].find({**unfinished, "epoch": {"$gt": epoch}})
        rows[:] = [each["row"] for each in products.sort("row", DESCENDING).limit(1)]
        return bool(rows)

    wait_until(is_taken_over, "the newer coordinator has the products")
    error = ImageFailure(code=ImageErrorCode.INTERNAL_ERROR, message="late")
    result = ImageResult(rows[0], 0, Image(status=Status.FAILED, error=error), None)

    async def written() -> bool:
        async with Database.open(cluster.settings) as database:
            return await ProductStore(database).record_results(request_id, epoch, [result]) is FencedWrite.ACCEPTED

    return asyncio.run(written())


def seconds_to_takeover(_cluster: Cluster, _old: Actor, begun: float, is_taken_over: Callable[[], bool]) -> float:
    """Return the seconds since then until another actor works in place of one whose node Ray takes for dead."""
    return seconds_since(begun, is_taken_over, "another takes over", TAKEOVER_SECONDS)


def seconds_to_leaving(cluster: Cluster, old: Actor, begun: float, is_taken_over: Callable[[], bool]) -> float:
    """Return the seconds since then until an actor without stores has left and another does its work.

    For Ray its node is well. So the actor may be started there again and leave again, which the test does not await.
    """
    wait_until(lambda: not processes.command_line(old.pid), "the old one leaves", timeout_seconds=LEAVES_SECONDS)
    keep_off(cluster, old.node, registry.QUEUE_MANAGER, COORDINATORS)
    return seconds_since(begun, is_taken_over, "another takes over", GOES_ON_SECONDS)


def check(cluster: Cluster, job: WatchedJob, recorder: Recorder) -> None:
    """Check that nothing was lost and no late write came through."""
    job.check(fetched_again=REDONE)
    late = recorder.late_writes(job.request_id)
    logger.info("late writes: %s", Counter(each.machine for each in late))
    assert not [each for each in late if each.modified]
    assert not recorder.unfenced_writes(job.request_id)
    stalls = sum(cluster.log(node).count("the worker pool is ended") for node in NODES)
    print(f"{stalls} worker pools were ended so far because their batches waited in vain")


@pytest.mark.parametrize(
    ("fault", "hears_of_it"),
    [
        pytest.param(DEATH, False, id="killed"),
        pytest.param(cut_from(HEAD), True, id="cut-from-head"),
        pytest.param(cut_from(HEAD, STORES), False, id="cut-from-both"),
    ],
)
def test_another_node_takes_over_and_the_old_coordinator_writes_nothing_more(
    cluster: Cluster, origin: Origin, fault: Fault, *, hears_of_it: bool, note: Note, request: pytest.FixtureRequest
) -> None:
    keep_off(cluster, HEAD, COORDINATORS)
    with Recorder(cluster) as recorder, job_at_work(cluster, origin) as job:
        epoch = epoch_of(cluster, job)
        node = living(cluster, request_of(cluster, job.request_id)["coordinator"]).node
        with fault.of(cluster, node) as begun:
            taken = seconds_since(
                begun, lambda: epoch_of(cluster, job) > epoch, "somebody takes over", TAKEOVER_SECONDS
            )
            goes_on = seconds_to_next(job, begun)
            logger.info("%s: a newer epoch after %.1f s, goes on after %.1f s", node, taken, goes_on)

            def is_late_write_refused() -> bool:
                assert not write_late(cluster, job.request_id, epoch)
                return bool(recorder.late_writes(job.request_id))

            wait_until(is_late_write_refused, "the recorder has seen that")
        await_return(cluster)
        check(cluster, job, recorder)
    if hears_of_it:
        assert f'"a newer coordinator owns the request", "requestId": "{job.request_id}"' in cluster.log(node)
    what = request.node.callspec.id
    note(f"node {what}: a newer epoch", taken)
    note(f"node {what}", goes_on)


@pytest.mark.parametrize(
    ("fault", "seconds_to"),
    [
        pytest.param(DEATH, seconds_to_takeover, id="killed"),
        # It still reaches the stores, and for itself, it is well.
        pytest.param(cut_from(HEAD), seconds_to_takeover, id="cut-from-head"),
        pytest.param(cut_from(STORES), seconds_to_leaving, id="cut-from-stores"),
    ],
)
def test_another_queue_manager_leads_and_the_old_one_leaves(
    cluster: Cluster,
    origin: Origin,
    fault: Fault,
    *,
    seconds_to: Callable[[Cluster, Actor, float, Callable[[], bool]], float],
    note: Note,
    request: pytest.FixtureRequest,
) -> None:
    keep_off(cluster, HEAD, registry.QUEUE_MANAGER, registry.WORKER_POOL, registry.WEBHOOK)
    # For Serve it is well, too, and a replica there would refuse all uploads.
    keep_off(cluster, living(cluster, registry.QUEUE_MANAGER).node, *REPLICAS)
    with Recorder(cluster) as recorder, job_at_work(cluster, origin) as job:
        old, epoch = living(cluster, registry.QUEUE_MANAGER), lease_epoch(cluster)
        with fault.of(cluster, old.node) as begun:
            taken = seconds_to(cluster, old, begun, lambda: lease_epoch(cluster) > epoch)
            wait_until(lambda: not processes.command_line(old.pid), "the old one has left")
            small = submit_by_any_node(cluster, origin)
            wait_until(lambda: is_completed(cluster, small), "the new one admits", timeout_seconds=LEAVES_SECONDS)
        check(cluster, job, recorder)
        await_return(cluster)
    note(f"node of the queue manager {request.node.callspec.id}: another leads", taken)


def test_a_coordinator_that_is_cut_off_from_the_stores_leaves_and_is_succeeded(
    cluster: Cluster, origin: Origin, note: Note
) -> None:
    keep_off(cluster, HEAD, COORDINATORS)
    with Recorder(cluster) as recorder, job_at_work(cluster, origin) as job:
        epoch = epoch_of(cluster, job)
        old = living(cluster, request_of(cluster, job.request_id)["coordinator"])
        with cut_from(STORES).of(cluster, old.node) as begun:
            taken = seconds_to_leaving(cluster, old, begun, lambda: epoch_of(cluster, job) > epoch)
            assert not write_late(cluster, job.request_id, epoch)
        check(cluster, job, recorder)
    note("node cut-from-stores: a newer epoch", taken)


def test_everything_goes_on_when_the_head_was_killed_and_comes_back(
    cluster: Cluster, origin: Origin, note: Note
) -> None:
    everyone = (COORDINATORS, registry.WORKER_POOL, registry.QUEUE_MANAGER, registry.WEBHOOK, *REPLICAS)
    keep_off(cluster, HEAD, *everyone)
    wait_until(lambda: any(is_ready(cluster, node) for node in WORKERS), "a worker has a proxy", timeout_seconds=60)
    with Recorder(cluster) as recorder, job_at_work(cluster, origin, site=Workers(cluster)) as job:
        # One that is just starting asks the head; Ray sends nothing to its core meanwhile, and knows of no other.
        wait_until(lambda: all(has_image_worker(cluster, node) for node in WORKERS), "every core has its worker")
        with DEATH.of(cluster, HEAD) as begun:
            done = job.done + REDONE  # more than was in flight
            went_on = seconds_to_next(job, begun)
            small = submit_by_any_node(cluster, origin)
            wait_until(lambda: job.done > done, "other nodes go on without the head", timeout_seconds=GOES_ON_SECONDS)
            wait_until(lambda: any(is_ready(cluster, node, head=False) for node in WORKERS), "readyz tells of the head")
        check(cluster, job, recorder)
        wait_until(lambda: is_completed(cluster, small), "what came meanwhile is done, too", timeout_seconds=60)
        await_return(cluster)
    note("head killed", went_on)
