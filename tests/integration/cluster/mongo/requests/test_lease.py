"""The queue manager admits, preempts and stops requests, and only the newest one can."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from actors.queue.fair_queue import next_in_line
from cluster.errors import StaleEpochError
from cluster.mongo.requests import QueueLease, RequestClaims, RequestControl, RequestQueue
from cluster.records import Reason, utc_now
from tests.support.requests import claimed_lease, waiting

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def test_all_that_wait_are_admitted_in_their_order(database: Database) -> None:
    lease = await claimed_lease(database)
    queue, now = RequestQueue(database), utc_now()
    made = {
        await waiting(database, priority=priority, queued_at=now + timedelta(seconds=place)): name
        for place, (name, priority) in enumerate([("old", 5), ("urgent", 9), ("young", 5), ("idle", 0)])
    }
    admitted = []
    while (chosen := next_in_line(await queue.candidates(), {}, now)) is not None:
        assert await lease.admit(chosen.request_id, "coordinator") is not None
        assert await lease.admit(chosen.request_id, "another") is None
        admitted.append(made[chosen.request_id])
    assert admitted == ["urgent", "old", "young", "idle"]
    assert {each.coordinator for each in await queue.processing()} == {"coordinator"}


async def test_a_request_that_is_paused_or_to_end_is_not_admitted(database: Database) -> None:
    lease = await claimed_lease(database)
    queue, control = RequestQueue(database), RequestControl(database)
    paused, ending = await waiting(database), await waiting(database)
    await control.pause(paused)
    await control.cancel(ending)
    assert await queue.candidates() == []
    assert await lease.admit(paused, "coordinator") is None
    assert await queue.stopping(limit=9) == [ending]
    assert await lease.claim_stopping(paused) is None
    claimed = await lease.claim_stopping(ending)
    assert claimed is not None
    assert (claimed.request_id, claimed.stopping, claimed.epoch) == (ending, Reason.CANCELLED, 1)
    assert await lease.claim_stopping(ending) is None
    assert await queue.stopping(limit=9) == []
    await control.resume(paused)
    assert [each.request_id for each in await queue.candidates()] == [paused]


async def test_a_preempted_request_waits_again_behind_the_others(database: Database) -> None:
    lease = await claimed_lease(database)
    queue, claims, long_ago = RequestQueue(database), RequestClaims(database), utc_now() - timedelta(hours=5)
    request_id = await waiting(database, queued_at=long_ago)
    await lease.preempt(request_id)  # it is not at work yet
    assert await lease.admit(request_id, "coordinator") is not None
    claimed = await claims.claim(request_id)
    assert claimed is not None
    assert not (await claims.control_signals(request_id, claimed.epoch)).wait
    assert not await claims.requeue(request_id, claimed.epoch, claimed.counts, claimed.bytes)
    await lease.preempt(request_id)
    assert [each.frees_place for each in await queue.processing()] == [True]
    assert (await claims.control_signals(request_id, claimed.epoch)).wait
    assert await claims.requeue(
        request_id, claimed.epoch, claimed.counts.model_copy(update={"completed": 2}), claimed.bytes
    )
    (candidate,) = await queue.candidates()
    assert utc_now() - candidate.queued_at < timedelta(minutes=1)
    again = await lease.admit(request_id, "another")
    assert again is not None
    assert not again.frees_place
    assert again.admitted_at > candidate.queued_at


async def test_requests_past_their_deadlines_are_stopped(database: Database) -> None:
    lease = await claimed_lease(database)
    now = utc_now()
    late = await waiting(database, deadline_at=now - timedelta(seconds=1))
    await waiting(database, deadline_at=now + timedelta(hours=1))
    await waiting(database)
    await lease.stop_overdue()
    assert await RequestQueue(database).stopping(limit=9) == [late]
    claimed = await lease.claim_stopping(late)
    assert claimed is not None
    assert (claimed.request_id, claimed.stopping) == (late, Reason.TIMEOUT)
    assert await RequestQueue(database).stopping(limit=9) == []


async def test_an_older_queue_manager_changes_nothing_any_more(database: Database) -> None:
    lease = await claimed_lease(database)
    waits, late = await waiting(database), await waiting(database, deadline_at=utc_now() - timedelta(seconds=1))
    ends = await waiting(database)
    at_work = await waiting(database)
    assert await lease.admit(at_work, "old") is not None
    await RequestControl(database).cancel(ends)
    newer = QueueLease(database)
    await newer.claim()
    before = [document async for document in database.requests.find()]
    writes = [
        lease.check(),
        lease.admit(waits, "old"),
        lease.assign(at_work, "older"),
        lease.preempt(at_work),
        lease.stop_overdue(),
        lease.claim_stopping(ends),
    ]
    for write in writes:
        with pytest.raises(StaleEpochError):
            await write
    await lease.claim()  # its earlier lease stays lost
    with pytest.raises(StaleEpochError):
        await lease.check()
    assert [document async for document in database.requests.find()] == before
    await newer.stop_overdue()
    assert set(await RequestQueue(database).stopping(limit=9)) == {late, ends}
    assert await newer.claim_stopping(ends) is not None
    assert await newer.admit(waits, "new") is not None


async def test_a_claim_that_comes_while_an_older_one_writes_wins_or_waits(database: Database) -> None:
    requests = [await waiting(database) for _ in range(30)]
    leases = [QueueLease(database) for _ in range(3)]

    async def admit_all(lease: QueueLease, name: str) -> None:
        await lease.claim()
        for request_id in requests:
            try:
                await lease.admit(request_id, name)
            except StaleEpochError:
                return

    await asyncio.gather(*(admit_all(lease, f"coordinator-{place}") for place, lease in enumerate(leases)))
    assert len(await RequestQueue(database).processing()) == len(requests)
    results = await asyncio.gather(*(lease.check() for lease in leases), return_exceptions=True)
    assert sorted(result is None for result in results) == [False, False, True]
