"""Requests as clients and the sweeper see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.requests import RequestStore
from cluster.records import ByteCounts, Counts
from tests.support.requests import committed

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def test_counts_are_kept_and_never_lowered(database: Database) -> None:
    request = await committed(database, products=3)
    requests = RequestStore(database)
    for completed in (2, 1):
        counts, byte_counts = Counts(completed=completed), ByteCounts(in_=completed, out=1)
        await requests.keep_counts(request.request_id, request.epoch, counts, byte_counts)
    late = Counts(completed=3)
    await requests.keep_counts(request.request_id, request.epoch - 1, late, ByteCounts(in_=3, out=1))
    found = await requests.get(request.request_id)
    assert found is not None
    assert (found.counts.completed, found.bytes.in_) == (2, 2)
