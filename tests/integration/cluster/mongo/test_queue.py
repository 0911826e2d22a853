"""The queue in a real MongoDB."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from actors.queue.fair_queue import next_in_line
from cluster.codes import ImageErrorCode
from cluster.errors import StaleEpochError
from cluster.identifiers import new_identifier
from cluster.mongo.control import RequestControl
from cluster.mongo.lease import QueueLease
from cluster.mongo.products import ImageResult, ProductStore
from cluster.mongo.queue import Load, RequestQueue
from cluster.mongo.requests import RequestStore
from cluster.records import Counts, FailureCount, ImageFailure, ProcessingRequest, Reason, Status, utc_now
from tests.support.requests import DONE, GONE, committed

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

CANCELLED = ImageFailure(code=ImageErrorCode.CANCELLED, message="Cancelled.")


@pytest.fixture
async def leader(database: Database) -> QueueLease:
    """The one queue manager."""
    made = QueueLease(database)
    await made.claim()
    return made


async def waiting(database: Database, **fields: object) -> str:
    """A request that waits; returns its id."""
    now = utc_now()
    request = ProcessingRequest.model_validate(
        {
            "request_id": new_identifier("req"),
            "owner": "key",
            "created_at": now,
            "queued_at": now,
            "counts": Counts(images=3),
            "columns": [],
            "url_column": 0,
            "fingerprint": "0",
            **fields,
        }
    )
    await RequestStore(database).commit(request)
    return request.request_id


async def test_all_that_wait_are_admitted_in_their_order(database: Database, leader: QueueLease) -> None:
    queue, now = RequestQueue(database), utc_now()
    made = {
        await waiting(database, priority=priority, queued_at=now + timedelta(seconds=place)): name
        for place, (name, priority) in enumerate([("old", 5), ("urgent", 9), ("young", 5), ("idle", 0)])
    }
    admitted = []
    while (chosen := next_in_line(await queue.candidates(), {}, now)) is not None:
        assert await leader.admit(chosen.request_id, "coordinator") is not None
        assert await leader.admit(chosen.request_id, "another") is None
        admitted.append(made[chosen.request_id])
    assert admitted == ["urgent", "old", "young", "idle"]
    assert {each.coordinator for each in await queue.processing()} == {"coordinator"}


async def test_who_is_paused_or_to_end_is_not_admitted(database: Database, leader: QueueLease) -> None:
    queue, control = RequestQueue(database), RequestControl(database)
    paused, ending = await waiting(database), await waiting(database)
    await control.set_paused(paused, paused=True)
    await control.cancel(ending)
    assert await queue.candidates() == []
    assert await leader.admit(paused, "coordinator") is None
    assert await queue.stopping(limit=9) == [ending]
    assert await leader.claim_stopping(paused) is None
    claimed = await leader.claim_stopping(ending)
    assert claimed is not None
    assert (claimed.request_id, claimed.stopping, claimed.epoch) == (ending, Reason.CANCELLED, 1)
    assert await leader.claim_stopping(ending) is None
    assert await queue.stopping(limit=9) == []
    await control.set_paused(paused, paused=False)
    assert [each.request_id for each in await queue.candidates()] == [paused]


async def test_who_gives_way_waits_again_behind_the_others(database: Database, leader: QueueLease) -> None:
    queue, control, long_ago = RequestQueue(database), RequestControl(database), utc_now() - timedelta(hours=5)
    request_id = await waiting(database, queued_at=long_ago)
    await leader.preempt(request_id)  # it is not at work yet
    assert await leader.admit(request_id, "coordinator") is not None
    claimed = await RequestStore(database).claim(request_id)
    assert claimed is not None
    assert not (await control.orders(request_id, claimed.epoch)).wait
    assert not await control.requeue(request_id, claimed.epoch, claimed.counts, claimed.bytes)
    await leader.preempt(request_id)
    assert [each.is_leaving for each in await queue.processing()] == [True]
    assert (await control.orders(request_id, claimed.epoch)).wait
    assert await control.requeue(
        request_id, claimed.epoch, claimed.counts.model_copy(update={"completed": 2}), claimed.bytes
    )
    (candidate,) = await queue.candidates()
    assert utc_now() - candidate.queued_at < timedelta(minutes=1)
    again = await leader.admit(request_id, "another")
    assert again is not None
    assert not again.is_leaving
    assert again.admitted_at > candidate.queued_at


async def test_who_was_resumed_waits_since_then(database: Database) -> None:
    control, long_ago = RequestControl(database), utc_now() - timedelta(hours=5)
    request_id = await waiting(database, queued_at=long_ago)
    same = await control.set_paused(request_id, paused=False)
    assert same is not None
    assert same.queued_at == long_ago
    await control.set_paused(request_id, paused=True)
    resumed = await control.set_paused(request_id, paused=False)
    assert resumed is not None
    assert utc_now() - resumed.queued_at < timedelta(minutes=1)


async def test_deadlines_that_have_come_are_followed(database: Database, leader: QueueLease) -> None:
    now = utc_now()
    late = await waiting(database, deadline_at=now - timedelta(seconds=1))
    await waiting(database, deadline_at=now + timedelta(hours=1))
    await waiting(database)
    await leader.stop_overdue()
    assert await RequestQueue(database).stopping(limit=9) == [late]
    claimed = await leader.claim_stopping(late)
    assert claimed is not None
    assert (claimed.request_id, claimed.stopping) == (late, Reason.TIMEOUT)
    assert await RequestQueue(database).stopping(limit=9) == []


async def test_the_load_of_each_owner(database: Database) -> None:
    await waiting(database, owner="a", counts=Counts(images=10, completed=3, failed=1))
    await waiting(database, owner="a", counts=Counts(images=5))
    await waiting(database, owner="b", counts=Counts(images=7), status=Status.PROCESSING)
    await waiting(database, owner="c", counts=Counts(images=9), status=Status.COMPLETED)
    assert await RequestQueue(database).load() == {"a": Load(2, 11), "b": Load(1, 7)}


async def test_what_is_not_done_fails_and_what_is_done_stays(database: Database) -> None:
    request, products = await committed(database, products=2, images=2), ProductStore(database)
    await products.record_results(
        request.request_id, 1, [ImageResult(2, 0, DONE, "key"), ImageResult(2, 1, GONE, None)]
    )
    await products.record_results(request.request_id, 1, [ImageResult(3, 1, DONE, "key")])
    for _ in range(2):  # as after a crash half-way
        await products.fail_unfinished(request.request_id, 1, CANCELLED)
    first, second = await products.page(request.request_id, after_row=0, limit=9)
    assert [image.error and image.error.code for image in (*first.images, *second.images)] == [
        None,
        "not_found",
        "cancelled",
        None,
    ]
    assert {first.processing_status, second.processing_status} == {Status.FAILED}
    assert second.output_image_urls == [None, "key"]


async def test_an_older_coordinator_fails_nothing(database: Database) -> None:
    request, products = await committed(database), ProductStore(database)
    await products.take_over(request.request_id, 2)
    await products.fail_unfinished(request.request_id, 1, CANCELLED)
    (product,) = await products.page(request.request_id, after_row=0, limit=9)
    assert product.images[0].status is Status.PENDING


async def test_failed_images_are_opened_again_by_code(database: Database) -> None:
    request, products = await committed(database, products=1, images=3), ProductStore(database)
    await products.record_results(
        request.request_id, 1, [ImageResult(2, 0, DONE, "key"), ImageResult(2, 1, GONE, None)]
    )
    await products.fail_unfinished(request.request_id, 1, CANCELLED)
    for _ in range(2):
        await products.reopen(request.request_id, 2, [ImageErrorCode.CANCELLED])
    (product,) = await products.page(request.request_id, after_row=0, limit=9)
    assert [image.status for image in product.images] == [Status.COMPLETED, Status.FAILED, Status.PENDING]
    assert (product.processing_status, product.epoch) == (Status.PROCESSING, 2)


async def test_a_retry_counts_once_however_often_it_is_asked_for(database: Database) -> None:
    control, store = RequestControl(database), RequestStore(database)
    failure = FailureCount(code=ImageErrorCode.TIMEOUT, count=2, sample_url="https://shop.example/a.jpg")
    request_id = await waiting(
        database,
        status=Status.COMPLETED,
        completed_at=utc_now(),
        counts=Counts(images=5, completed=3, failed=2),
        failures=[failure],
    )
    ended = await store.get(request_id)
    assert ended is not None
    again = await control.retry(ended, [ImageErrorCode.TIMEOUT])
    assert again is not None
    assert (again.status, again.counts.failed, again.failures) == (Status.PENDING, 0, [])
    assert await control.retry(ended, [ImageErrorCode.TIMEOUT]) is None


async def test_who_closed_a_request_and_does_not_know_it_cannot_take_its_retry(
    database: Database, leader: QueueLease
) -> None:
    control, store = RequestControl(database), RequestStore(database)
    request_id = await waiting(database, status=Status.PROCESSING)
    claimed = await store.claim(request_id)
    assert claimed is not None
    await store.close(claimed.model_copy(update={"status": Status.COMPLETED, "completed_at": utc_now()}), None)
    ended = await store.get(request_id)
    assert ended is not None
    assert await control.retry(ended, [ImageErrorCode.TIMEOUT])
    assert await leader.admit(request_id, "coordinator_1")
    with pytest.raises(StaleEpochError):
        await store.claimed(request_id, claimed.epoch)


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
async def test_what_is_open_is_not_deleted_and_what_has_ended_not_changed(database: Database, status: Status) -> None:
    control = RequestControl(database)
    opened = await waiting(database, status=status)
    ended = await waiting(database, status=Status.COMPLETED, idempotency_key="once")
    assert not await control.delete(opened)
    assert await control.cancel(ended) is None
    assert await control.set_priority(ended, 9) is None
    assert await control.delete(ended)
    assert await RequestStore(database).get(ended) is None
    assert await RequestStore(database).find_repeat("key", "once") is None
    assert await control.deleted() == [ended]
    await control.forget(opened)
    await control.forget(ended)
    assert await control.deleted() == []


async def test_an_older_queue_manager_changes_nothing_any_more(database: Database, leader: QueueLease) -> None:
    waits, late = await waiting(database), await waiting(database, deadline_at=utc_now() - timedelta(seconds=1))
    ends = await waiting(database)
    at_work = await waiting(database)
    assert await leader.admit(at_work, "old") is not None
    await RequestControl(database).cancel(ends)
    newer = QueueLease(database)
    await newer.claim()
    before = [document async for document in database.requests.find()]
    writes = [
        leader.check(),
        leader.admit(waits, "old"),
        leader.assign(at_work, "older"),
        leader.preempt(at_work),
        leader.stop_overdue(),
        leader.claim_stopping(ends),
    ]
    for write in writes:
        with pytest.raises(StaleEpochError):
            await write
    await leader.claim()  # what it has claimed before stays lost
    with pytest.raises(StaleEpochError):
        await leader.check()
    assert [document async for document in database.requests.find()] == before
    await newer.stop_overdue()
    assert set(await RequestQueue(database).stopping(limit=9)) == {late, ends}
    assert await newer.claim_stopping(ends) is not None
    assert await newer.admit(waits, "new") is not None


async def test_a_claim_that_comes_while_an_older_one_writes_wins_or_waits(database: Database) -> None:
    requests = [await waiting(database) for _ in range(30)]
    leaders = [QueueLease(database) for _ in range(3)]

    async def admit_all(leader: QueueLease, name: str) -> None:
        await leader.claim()
        for request_id in requests:
            try:
                await leader.admit(request_id, name)
            except StaleEpochError:
                return

    await asyncio.gather(*(admit_all(leader, f"coordinator-{place}") for place, leader in enumerate(leaders)))
    assert len(await RequestQueue(database).processing()) == len(requests)
    results = await asyncio.gather(*(leader.check() for leader in leaders), return_exceptions=True)
    assert sorted(result is None for result in results) == [False, False, True]
