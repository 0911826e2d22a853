"""What was accepted is finished on a cluster of three nodes, of which one dies, or is cut off from others."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from actors import registry
from cluster.embedded import processes
from cluster.errors import ApiError
from tests.support import network
from tests.support.catalogues import catalogue
from tests.support.cluster import HEAD, NODES, STORES, WORKERS, Cluster, running_cluster
from tests.support.network import DRIVER
from tests.support.origin import Exchange, Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until
from tests.support.watching import Poller, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.conftest import Note

COORDINATORS, REPLICAS = "coordinator_", "SERVE_REPLICA"
IMAGES = 240
SLOW_SECONDS = 1.0
STARTED = 16  # images that are terminal before something fails
REDONE = 48  # at most: the batches in flight
FAULT_SECONDS = 22.0
TAKEOVER_SECONDS = 15.0  # within 10 are promised, by nodes that do not share two cores with all the others
GOES_ON_SECONDS = 30.0
RETURN_SECONDS = 90.0
END_SECONDS = 180.0
logger = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(not network.is_possible(), reason="network namespaces need root and iproute2"),
]


class Fault(NamedTuple):
    """Something that happens to a node, and how it is mended."""

    begin: Callable[[Cluster, str], None]
    end: Callable[[Cluster, str], None]


def cut_from(*others: str) -> Fault:
    return Fault(
        lambda cluster, node: cluster.network.cut(node, *others),
        lambda cluster, node: cluster.network.heal(node, *others),
    )


def end_agent(cluster: Cluster, node: str) -> None:
    """The raylet ends without it, with exit code 0, and `ray start --block` would go on without a raylet for ever."""
    agents = [pid for pid in cluster.network.pids(node) if "ray::DashboardAgent" in processes.command_line(pid)]
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGKILL)


DEATH = Fault(lambda cluster, node: cluster.network.kill(node), lambda cluster, node: cluster.start(node))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Not pytest's own folder: the path must be short.
    with tempfile.TemporaryDirectory(prefix="dkr") as folder, running_cluster(Path(folder)) as running:
        yield running


@pytest.fixture
def origin(cluster: Cluster) -> Iterator[Origin]:
    with Origin(host=cluster.network.addresses[DRIVER]) as running:
        for number in range(IMAGES):
            running.route(f"/{number}.jpg", slow_headers(SLOW_SECONDS, reply(jpeg(seed=number))))
        yield running


class Job:
    """A request of a minute, some of which is done."""

    def __init__(self, cluster: Cluster, origin: Origin) -> None:
        self._cluster = cluster
        self.origin = origin
        self.read_at_call: list[tuple[str, int]] = []
        self.id = ""
        hook = origin.route("/hook", self._take_call)
        urls = [f"{origin.url}/{number}.jpg" for number in range(IMAGES)]
        with cluster.client() as darkroom:
            self.id = darkroom.submit(catalogue(*[[url] for url in urls]), webhook_url=hook).request_id
        wait_until(lambda: self.done >= STARTED, "some images are done", timeout_seconds=60)

    @property
    def document(self) -> dict[str, Any]:
        found = self._cluster.database["processing_requests"].find_one({"requestId": self.id})
        assert found is not None
        return found

    @property
    def products(self) -> list[dict[str, Any]]:
        return list(self._cluster.database["products"].find({"requestId": self.id}))

    @property
    def done(self) -> int:
        return sum(each["processingStatus"] == "completed" for each in self.products)

    @property
    def epoch(self) -> int:
        return int(self.document["epoch"])

    @property
    def is_over(self) -> bool:
        return self.document["status"] in {"completed", "failed"}

    @property
    def node(self) -> str:
        """Where its coordinator is."""
        name = self.document["coordinator"]
        (node,) = [each.node for each in self._cluster.actors() if each.name == name and each.state == "ALIVE"]
        return node

    def _take_call(self, exchange: Exchange) -> None:
        """What the receiver of the webhook reads at that moment; if nothing answers him, he says so."""
        try:
            with self._cluster.client(timeout_seconds=2) as darkroom:
                found = darkroom.status(self.id, limit=1)
                done = sum(each.processing_status == "completed" for each in darkroom.products(self.id))
        except ApiError:
            return reply(status=503)(exchange)
        self.read_at_call.append((found.status, done))
        return reply(status=204)(exchange)


def keep_off_the_head(cluster: Cluster, *names: str) -> None:
    """Ray puts actors anywhere; those on the head are killed until it has put them elsewhere."""

    def is_done() -> bool:
        found = [each for each in cluster.actors() if each.name.startswith(names)]
        for each in found:
            if each.state == "ALIVE" and each.node == HEAD:
                os.kill(each.pid, signal.SIGKILL)
        return bool(found) and all(each.state == "ALIVE" and each.node in WORKERS for each in found)

    wait_until(is_done, "none of them is on the head", timeout_seconds=90)


def submit_by_any_node(cluster: Cluster, origin: Origin) -> str:
    """A request of one image, sent to whichever worker has a proxy that answers."""
    for node in WORKERS:
        try:
            with cluster.client(node, timeout_seconds=5) as darkroom:
                return darkroom.submit(catalogue([f"{origin.url}/0.jpg"])).request_id
        except ApiError as error:
            logger.info("%s: %s", node, error)
    raise AssertionError("no node accepts anything")


def is_completed(cluster: Cluster, request_id: str) -> bool:
    found = cluster.database["processing_requests"].find_one({"requestId": request_id})
    return found is not None and found["status"] == "completed"


def await_end_of_fault(begun: float) -> None:
    wait_until(lambda: time.monotonic() > begun + FAULT_SECONDS, "time passes", timeout_seconds=FAULT_SECONDS + 5)


def await_return(cluster: Cluster) -> None:
    wait_until(lambda: cluster.alive() == set(NODES), "all nodes are back", timeout_seconds=RETURN_SECONDS)


def check_whole(cluster: Cluster, job: Job, poller: Poller) -> None:
    """Nothing was lost, nothing is there twice, and the webhook came when all could be read."""
    counts = job.document["counts"]
    assert (job.document["status"], counts["completed"], counts["failed"]) == ("completed", IMAGES, 0)
    assert [each["processingStatus"] for each in job.products] == ["completed"] * IMAGES
    assert cluster.object_keys(job.id) == {f"{job.id}/{row}/0.jpg" for row in range(2, IMAGES + 2)}
    assert [each.progress for each in poller.answers] == sorted(each.progress for each in poller.answers)
    wait_until(lambda: bool(job.read_at_call), "the webhook came", timeout_seconds=60)
    assert set(job.read_at_call) == {("completed", IMAGES)}
    calls = job.origin.requests_to("/hook")
    assert len({each.headers["webhook-id"] for each in calls}) == 1
    redone = len(job.origin.requests) - len(calls) - IMAGES
    logger.info("%d images redone, %d calls, silence %.1f s", redone, len(calls), poller.longest_silence_seconds)
    assert redone <= REDONE


def await_end(job: Job, poller: Poller, begun: float) -> float:
    """Returns how long the request took since then; the client has seen its end, too."""
    seconds = seconds_since(begun, lambda: job.is_over, "all is done", END_SECONDS)
    wait_until(lambda: poller.answers[-1].progress == 100, "the service says so", timeout_seconds=RETURN_SECONDS)
    return seconds


def seconds_since(begun: float, predicate: Callable[[], bool], description: str, timeout_seconds: float) -> float:
    wait_until(predicate, description, timeout_seconds=timeout_seconds)
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("fault", "hears_of_it"),
    [
        pytest.param(DEATH, False, id="killed"),
        pytest.param(Fault(end_agent, lambda cluster, node: None), False, id="agent-killed", marks=pytest.mark.long),
        pytest.param(cut_from(HEAD), True, id="cut-from-head", marks=pytest.mark.long),
        pytest.param(cut_from(HEAD, STORES), False, id="cut-from-both", marks=pytest.mark.long),
    ],
)
def test_another_node_takes_over_and_the_old_coordinator_writes_nothing_more(
    cluster: Cluster, origin: Origin, fault: Fault, *, hears_of_it: bool, note: Note, request: pytest.FixtureRequest
) -> None:
    keep_off_the_head(cluster, COORDINATORS)
    with Recorder(cluster) as recorder:
        job = Job(cluster, origin)
        node, epoch = job.node, job.epoch
        logger.info("victim %s; %s", node, {each.name: each.node for each in cluster.actors()})
        with Poller(cluster, job.id) as poller:
            begun = time.monotonic()
            fault.begin(cluster, node)
            taken = seconds_since(begun, lambda: job.epoch > epoch, "somebody takes over", TAKEOVER_SECONDS)
            done = job.done
            goes_on = seconds_since(begun, lambda: job.done > done, "work goes on", GOES_ON_SECONDS)
            logger.info("epoch %d after %.1f s with %d done, goes on after %.1f s", job.epoch, taken, done, goes_on)
            await_end_of_fault(begun)
            fault.end(cluster, node)
            over = await_end(job, poller, begun)
        await_return(cluster)
        late = recorder.late_writes(job.id)
        logger.info("over after %.1f s; late writes: %s", over, Counter(each.machine for each in late))
        assert not [each for each in late if each.modified]
        assert not recorder.unfenced_writes(job.id)
    if hears_of_it:
        assert f'"a newer coordinator owns the request", "requestId": "{job.id}"' in cluster.log(node)
    check_whole(cluster, job, poller)
    what = request.node.callspec.id
    note(f"node {what}: a newer epoch", taken)
    note(f"node {what}", goes_on)


@pytest.mark.long
def test_a_coordinator_that_is_cut_off_from_the_stores_waits_for_them(
    cluster: Cluster, origin: Origin, note: Note
) -> None:
    fault = cut_from(STORES)  # for Ray, this node is well
    keep_off_the_head(cluster, COORDINATORS)
    job = Job(cluster, origin)
    node = job.node
    logger.info("victim %s; %s", node, {each.name: each.node for each in cluster.actors()})
    with Poller(cluster, job.id) as poller:
        begun = time.monotonic()
        fault.begin(cluster, node)
        await_end_of_fault(begun)
        logger.info("done when it is mended: %d", job.done)
        fault.end(cluster, node)
        healed, done = time.monotonic(), job.done
        goes_on = seconds_since(healed, lambda: job.done > done, "work goes on", GOES_ON_SECONDS)
        over = await_end(job, poller, begun)
    logger.info("over after %.1f s", over)
    check_whole(cluster, job, poller)
    note("node cut-from-stores, from its mending", goes_on)


@pytest.mark.long
def test_everything_goes_on_when_the_head_was_killed_and_comes_back(
    cluster: Cluster, origin: Origin, note: Note
) -> None:
    everyone = (COORDINATORS, registry.WORKER_POOL, registry.QUEUE_MANAGER, registry.WEBHOOK, REPLICAS)
    keep_off_the_head(cluster, *everyone)
    with Recorder(cluster) as recorder:
        job = Job(cluster, origin)
        logger.info("%s", {each.name: each.node for each in cluster.actors()})
        with Poller(cluster, job.id) as poller:
            begun = time.monotonic()
            DEATH.begin(cluster, HEAD)
            done = job.done + REDONE  # more than was in flight
            went_on = seconds_since(begun, lambda: job.done > done - REDONE, "work goes on", GOES_ON_SECONDS)
            small = submit_by_any_node(cluster, origin)
            await_end_of_fault(begun)
            logger.info("done when it comes back: %d", job.done)
            assert job.done > done, "what is on other nodes goes on without the head"
            DEATH.end(cluster, HEAD)
            over = await_end(job, poller, begun)
        logger.info("over after %.1f s, epoch %d", over, job.epoch)
        wait_until(lambda: is_completed(cluster, small), "what came meanwhile is done, too", timeout_seconds=60)
        await_return(cluster)
        assert not [each for each in recorder.late_writes(job.id) if each.modified]
    check_whole(cluster, job, poller)
    note("head killed", went_on)
