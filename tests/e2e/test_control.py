"""Requests that are cancelled, paused, given another priority, retried and deleted while they run."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import pytest

from actors.queue.capacity import Capacity
from cluster.errors import ApiError
from tests.support.catalogues import catalogue
from tests.support.jobs import codes, delivered, finished
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pace import slowdown

if TYPE_CHECKING:
    from cluster.client import Darkroom, RequestStatus
    from tests.support.service import Service

pytestmark = pytest.mark.timeout(120)
STOP_SECONDS = 2.0


def refusal(error: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return error.value.status, error.value.code


QUICK = 20


def quick_ones_are_done(darkroom: Darkroom, request_id: str) -> bool:
    return darkroom.status(request_id, limit=1).counts.completed >= QUICK


@pytest.fixture
def half_done(darkroom: Darkroom, origin: Origin) -> str:
    """A request of 20 quick images and 200 slow ones, when the quick ones are done."""
    quick = origin.route("/quick.jpg", reply(jpeg()))
    slow = origin.route("/slow.jpg", slow_headers(1.5, reply(jpeg())))
    rows = [[f"{quick}?{number}"] for number in range(QUICK)] + [[f"{slow}?{number}"] for number in range(200)]
    request_id = darkroom.submit(catalogue(*rows), webhook_url=origin.route("/hook", reply())).request_id
    wait_until(lambda: quick_ones_are_done(darkroom, request_id), "the quick ones are done")
    return request_id


def ended(darkroom: Darkroom, request_id: str) -> RequestStatus:
    status = darkroom.wait(request_id, timeout_seconds=60, poll_seconds=0.05)
    counts = status.counts
    assert counts.completed + counts.failed == counts.images
    assert status.progress == 100
    return status


def test_a_request_that_is_cancelled_ends_soon_and_keeps_what_is_done(
    service: Service, darkroom: Darkroom, origin: Origin, half_done: str
) -> None:
    asked = time.monotonic()
    answer = darkroom.cancel(half_done)
    assert (answer.stopping, darkroom.cancel(half_done).request_id) == ("cancelled", half_done)
    status = ended(darkroom, half_done)
    assert time.monotonic() - asked < STOP_SECONDS * slowdown()
    assert (status.status, status.reason) == ("failed", "cancelled")
    assert status.counts.completed >= 20
    assert {failure.code: failure.count for failure in status.failures} == {"cancelled": status.counts.failed}
    fetched = len(origin.requests_to("/slow.jpg"))
    assert len(service.object_keys(half_done)) == status.counts.completed
    (delivery,) = delivered(darkroom, half_done)
    assert (delivery.event, delivery.state) == ("request.failed", "delivered")
    assert b'"reason":"cancelled"' in origin.requests_to("/hook")[0].body
    assert darkroom.cancel(half_done).status == "failed"  # asked again when it has ended
    assert len(origin.requests_to("/slow.jpg")) == fetched


def test_a_request_that_waits_is_cancelled_without_having_run(darkroom: Darkroom, origin: Origin) -> None:
    slow = origin.route("/slow.jpg", slow_headers(1.5, reply(jpeg())))
    waiting = darkroom.submit(catalogue([slow])).request_id
    darkroom.pause(waiting)
    darkroom.cancel(waiting)
    assert ended(darkroom, waiting).reason == "cancelled"


def cancel_unless_over(darkroom: Darkroom, request_id: str) -> None:
    try:
        darkroom.cancel(request_id)
    except ApiError as error:
        if error.code != "already_ended":
            raise


def test_when_all_places_are_taken_one_is_preempted(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    slow = origin.route("/slow.jpg", slow_headers(0.5, reply(jpeg())))
    held = origin.route("/held.jpg", slow_headers(1.5, reply(jpeg())))  # so that the one that gave up its place is seen
    file = catalogue(*([f"{slow}?{number}"] for number in range(400)))
    places = Capacity(os.cpu_count() or 1, math.inf).coordinators
    low = [darkroom.submit(file, priority=1).request_id for _ in range(places + 4)]

    def at_work() -> int:
        return sum(darkroom.status(each, limit=1).status == "processing" for each in low)

    wait_until(lambda: at_work() == places, "all places are taken", timeout_seconds=60)
    urgent = darkroom.submit(catalogue([held]), priority=9).request_id
    waiting: list[str] = []

    def one_waits() -> bool:
        seen = [darkroom.status(each, limit=1) for each in low]
        waiting[:] = [status.request_id for status in seen if status.status == "pending" and status.started_at]
        return bool(waiting)

    wait_until(one_waits, "one is preempted", timeout_seconds=60)
    preempted = waiting[0]
    assert ended(darkroom, urgent).status == "completed"
    for request_id in set(low) - {preempted}:
        cancel_unless_over(darkroom, request_id)
    origin.end_pauses()
    assert ended(darkroom, preempted).counts.completed == 400
    assert len(service.object_keys(preempted)) == 400


def test_a_deadline_ends_a_request(darkroom: Darkroom, origin: Origin) -> None:
    slow = origin.route("/slow.jpg", slow_headers(1.5, reply(jpeg())))
    quick = origin.route("/quick.jpg", reply(jpeg()))
    rows = [[f"{quick}?1"]] + [[f"{slow}?{number}"] for number in range(600)]
    request_id = darkroom.submit(catalogue(*rows), deadline_seconds=5).request_id
    status = ended(darkroom, request_id)
    assert (status.status, status.reason) == ("failed", "timeout")
    assert status.seconds is not None
    assert 5 <= status.seconds < 9
    assert status.counts.completed >= 1
    assert [failure.code for failure in status.failures] == ["deadline_exceeded"]


def test_a_paused_request_begins_nothing_and_goes_on_where_it_was(
    service: Service, darkroom: Darkroom, origin: Origin, half_done: str
) -> None:
    assert darkroom.pause(half_done).paused
    assert darkroom.pause(half_done).paused
    wait_until(lambda: darkroom.status(half_done, limit=1).status == "pending", "nobody works on it")
    fetched, held = len(origin.requests), darkroom.status(half_done, limit=1)
    assert held.counts.completed >= 20
    finished(darkroom, catalogue([origin.route("/other.jpg", reply(jpeg()))]))  # others are not held up
    assert len(origin.requests_to("/slow.jpg")) + len(origin.requests_to("/quick.jpg")) == fetched
    origin.route("/slow.jpg", reply(jpeg()))
    assert not darkroom.resume(half_done).paused
    darkroom.resume(half_done)
    status = ended(darkroom, half_done)
    assert (status.status, status.failures) == ("completed", [])
    assert len(origin.requests_to("/quick.jpg")) == 20
    assert len(service.object_keys(half_done)) == 220


def test_the_priority_changes_while_a_request_runs(darkroom: Darkroom, half_done: str) -> None:
    assert darkroom.set_priority(half_done, 9).priority == 9
    assert darkroom.status(half_done, limit=1).priority == 9
    darkroom.cancel(half_done)
    ended(darkroom, half_done)
    with pytest.raises(ApiError) as error:
        darkroom.set_priority(half_done, 1)
    assert refusal(error) == (409, "already_ended")


def test_failed_images_are_done_again_all_or_by_code(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    good = origin.route("/good.jpg", reply(jpeg()))
    gone, broken = origin.url + "/gone.jpg", origin.route("/broken.jpg", reply(b"no image"))
    hook = origin.route("/hook", reply())
    first, _ = finished(darkroom, catalogue([good, gone], [broken]), webhook_url=hook)
    assert (first.status, first.counts.completed, first.counts.failed) == ("completed", 1, 2)
    request_id = first.request_id
    origin.route("/gone.jpg", reply(jpeg()))
    assert darkroom.retry(request_id, codes=["not_found"]).status == "pending"
    second = ended(darkroom, request_id)
    assert (second.counts.completed, second.counts.failed) == (2, 1)
    assert len(origin.requests_to("/good.jpg")) == 1
    assert len(origin.requests_to("/broken.jpg")) == 1
    origin.route("/broken.jpg", reply(jpeg()))
    darkroom.retry(request_id)
    third = ended(darkroom, request_id)
    assert (third.counts.completed, third.counts.failed, third.failures) == (3, 0, [])
    assert [codes(product) for product in darkroom.products(request_id)] == [[None, None], [None]]
    assert len(service.object_keys(request_id)) == 3
    wait_until(lambda: len(origin.requests_to("/hook")) == 3, "each end was told")
    assert len({delivery.delivery_id for delivery in delivered(darkroom, request_id)}) == 3
    with pytest.raises(ApiError) as error:
        darkroom.retry(request_id)
    assert refusal(error) == (422, "nothing_to_retry")


def test_a_cancelled_request_can_be_done_after_all(darkroom: Darkroom, origin: Origin, half_done: str) -> None:
    darkroom.cancel(half_done)
    ended(darkroom, half_done)
    origin.route("/slow.jpg", reply(jpeg()))
    darkroom.retry(half_done)
    with pytest.raises(ApiError) as error:
        darkroom.retry(half_done)
    assert refusal(error) == (409, "still_running")
    status = ended(darkroom, half_done)
    assert (status.status, status.reason, status.counts.completed) == ("completed", None, 220)
    assert len(origin.requests_to("/quick.jpg")) == 20


def test_a_deleted_request_is_gone_with_its_outputs(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    status, _ = finished(darkroom, catalogue([origin.route("/a.jpg", reply(jpeg()))] * 3))
    assert service.object_keys(status.request_id)
    darkroom.delete(status.request_id)
    for call in (darkroom.status, darkroom.cancel, darkroom.retry, darkroom.delete):
        with pytest.raises(ApiError) as error:
            call(status.request_id)
        assert refusal(error) == (404, "request_not_found")
    assert status.request_id not in {each.request_id for each in darkroom.requests().requests}
    wait_until(lambda: not service.object_keys(status.request_id), "its outputs are gone")


def test_a_running_request_is_not_deleted(darkroom: Darkroom, half_done: str) -> None:
    with pytest.raises(ApiError) as error:
        darkroom.delete(half_done)
    assert refusal(error) == (409, "still_running")
    darkroom.cancel(half_done)
    ended(darkroom, half_done)
