"""What was accepted is finished: a store, or everything, is killed in the middle of the work."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster.embedded import processes
from cluster.embedded import stack as servers
from cluster.embedded.service import bring_up
from cluster.embedded.state import State
from cluster.mongo.connection import Database
from cluster.mongo.leader import QueueLeader
from tests.support.catalogues import catalogue
from tests.support.jobs import delivered
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.service import Service, running_service
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.client import Darkroom, RequestStatus

IMAGES = 80
SLOW_SECONDS = 0.5
STARTED = 5  # images that are terminal before something is killed
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this module's own, because others would not like what happens to it."""
    with running_service(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.route("/hook", reply(status=204))
        for number in range(IMAGES):
            running.route(f"/{number}.jpg", slow_headers(SLOW_SECONDS, reply(jpeg(seed=number))))
        yield running


def submit(darkroom: Darkroom, origin: Origin) -> str:
    """A job of a few seconds, of which some images are done on return."""
    urls = [f"{origin.url}/{number}.jpg" for number in range(IMAGES)]
    request_id = darkroom.submit(catalogue(*[[url] for url in urls]), webhook_url=f"{origin.url}/hook").request_id
    wait_until(lambda: darkroom.status(request_id, limit=1).counts.completed >= STARTED, "some images are done")
    return request_id


def kill(service: Service, *names: str) -> None:
    """End servers and all their processes as a power cut would, but never another's."""
    started = State.read(service.stack.home.state_file).servers
    for name in names:
        leader = started[name].process
        processes.send(processes.family(leader, service.stack.home.path), signal.SIGKILL)
    wait_until(lambda: set(names) <= set(service.stack.dead()), "they are dead")


def kill_actors(service: Service, name: str) -> None:
    """End the processes of one class of actors; Ray starts them again."""
    wait_until(lambda: bool(service.ray_processes(name)), "one is there, perhaps again")
    processes.send(service.ray_processes(name), signal.SIGKILL)


def check_whole(service: Service, origin: Origin, status: RequestStatus) -> None:
    """Nothing was lost, nothing is there twice, and the webhook came."""
    assert (status.status, status.counts.completed, status.counts.failed) == ("completed", IMAGES, 0)
    assert service.object_keys(status.request_id) == {
        f"{status.request_id}/{row}/0.jpg" for row in range(2, IMAGES + 2)
    }
    with service.client() as darkroom:
        products = list(darkroom.products(status.request_id))
        assert [product.processing_status for product in products] == ["completed"] * IMAGES
        assert status.bytes.out == sum(product.images[0].bytes_out for product in products)
        wait_until(lambda: darkroom.deliveries(status.request_id)[0].state == "delivered", "the webhook is delivered")
    assert len({call.headers["webhook-id"] for call in origin.requests_to("/hook")}) == 1


@pytest.mark.parametrize("store", ["mongod", "redis", "seaweedfs"])
def test_work_waits_for_a_store_that_was_killed_and_goes_on(own: Service, origin: Origin, store: str) -> None:
    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        kill(own, store)

        def is_told() -> bool:
            return httpx.get(f"{own.url}/readyz", timeout=10, trust_env=False).status_code == 503

        wait_until(is_told, "readyz tells that a store is away")
        if store == "mongod":
            answer = httpx.post(
                f"{own.url}/api/upload",
                files={"file": catalogue(["https://shop.example/a.jpg"])},
                headers=own.authorization,
                timeout=30,
                trust_env=False,
            )
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        seen: list[float] = []
        servers.start(own.given, own.stack.home, lambda _event: None)
        status = darkroom.wait(
            request_id,
            timeout_seconds=90,
            poll_seconds=0.05,
            on_progress=lambda each: seen.append(each.progress),
        )
    assert seen == sorted(seen)
    check_whole(own, origin, status)
    # A store that was away costs no image a second download, as long as the task could wait for it.
    pictures = [each.path for each in origin.requests if each.path != "/hook"]
    assert len(pictures) == len(set(pictures)) == IMAGES


@pytest.mark.parametrize(
    "actors",
    [["RequestCoordinator"], ["QueueManager"], ["WorkerPool"], ["RequestCoordinator", "QueueManager", "WorkerPool"]],
)
def test_work_goes_on_when_an_actor_is_killed(own: Service, origin: Origin, actors: list[str]) -> None:
    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        for name in actors:
            kill_actors(own, name)
        status = darkroom.wait(request_id, timeout_seconds=90)
    check_whole(own, origin, status)


@pytest.mark.parametrize("actor", ["RequestCoordinator", "QueueManager"])
def test_a_request_is_held_and_goes_on_although_an_actor_is_killed(own: Service, origin: Origin, actor: str) -> None:
    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        kill_actors(own, actor)
        darkroom.pause(request_id)
        wait_until(lambda: darkroom.status(request_id, limit=1).status == "pending", "it waits", timeout_seconds=60)
        kill_actors(own, actor)
        darkroom.resume(request_id)
        status = darkroom.wait(request_id, timeout_seconds=90)
    check_whole(own, origin, status)


@pytest.mark.parametrize("actor", ["RequestCoordinator", "QueueManager"])
def test_a_request_is_cancelled_and_done_again_although_an_actor_is_killed(
    own: Service, origin: Origin, actor: str
) -> None:
    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        kill_actors(own, actor)
        darkroom.cancel(request_id)
        cancelled = darkroom.wait(request_id, timeout_seconds=60)
        assert (cancelled.status, cancelled.reason) == ("failed", "cancelled")
        assert {each.code for each in cancelled.failures} == {"cancelled"}
        assert [each.state for each in delivered(darkroom, request_id)] == ["delivered"]
        origin.requests.clear()
        darkroom.retry(request_id)
        kill_actors(own, actor)
        status = darkroom.wait(request_id, timeout_seconds=90)
        assert [each.state for each in delivered(darkroom, request_id)] == ["delivered"] * 2
    check_whole(own, origin, status)


def test_a_queue_manager_that_another_has_succeeded_leaves(own: Service, origin: Origin) -> None:
    async def succeed() -> None:
        async with Database.open(own.settings) as database:
            await QueueLeader(database).claim()

    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        (deposed,) = own.ray_processes("QueueManager")
        asyncio.run(succeed())
        wait_until(lambda: not processes.is_alive(deposed), "it has left")
        status = darkroom.wait(request_id, timeout_seconds=90)
    check_whole(own, origin, status)


def test_everything_is_killed_and_the_next_start_goes_on(own: Service, origin: Origin) -> None:
    with own.client() as darkroom:
        request_id = submit(darkroom, origin)
        before = len(origin.requests)
        kill(own, *own.stack.embedded)
        bring_up(own.given, own.stack.home, lambda _event: None)
        status = darkroom.wait(request_id, timeout_seconds=90)
    check_whole(own, origin, status)
    redone = len([each for each in origin.requests if each.path != "/hook"]) - IMAGES
    assert redone <= before
