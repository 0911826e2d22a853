"""The changes that clients make to accepted requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import StaleEpochError
from cluster.mongo.requests import RequestClaims, RequestControl, RequestStore
from cluster.records import Counts, FailureCount, Status, utc_now
from tests.support.requests import claimed_lease, waiting

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def test_a_resumed_request_waits_since_then(database: Database) -> None:
    control, long_ago = RequestControl(database), utc_now() - timedelta(hours=5)
    request_id = await waiting(database, queued_at=long_ago)
    same = await control.resume(request_id)
    assert same is not None
    assert same.queued_at == long_ago
    await control.pause(request_id)
    resumed = await control.resume(request_id)
    assert resumed is not None
    assert utc_now() - resumed.queued_at < timedelta(minutes=1)


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


async def test_a_coordinator_that_does_not_know_of_its_close_cannot_take_the_retry(database: Database) -> None:
    lease = await claimed_lease(database)
    control, claims = RequestControl(database), RequestClaims(database)
    request_id = await waiting(database, status=Status.PROCESSING)
    claimed = await claims.claim(request_id)
    assert claimed is not None
    await claims.close(claimed.model_copy(update={"status": Status.COMPLETED, "completed_at": utc_now()}), None)
    ended = await RequestStore(database).get(request_id)
    assert ended is not None
    assert await control.retry(ended, [ImageErrorCode.TIMEOUT])
    assert await lease.admit(request_id, "coordinator_1")
    with pytest.raises(StaleEpochError):
        await claims.claimed(request_id, claimed.epoch)


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
async def test_an_open_request_is_not_deleted_and_an_ended_one_not_changed(database: Database, status: Status) -> None:
    control, store = RequestControl(database), RequestStore(database)
    opened = await waiting(database, status=status)
    ended = await waiting(database, status=Status.COMPLETED, idempotency_key="once")
    assert not await control.delete(opened)
    assert await control.cancel(ended) is None
    assert await control.set_priority(ended, 9) is None
    assert await control.delete(ended)
    assert await store.get(ended) is None
    assert await store.find_repeat("key", "once") is None
    assert await store.deleted() == [ended]
    await store.forget(opened)
    await store.forget(ended)
    assert await store.deleted() == []
