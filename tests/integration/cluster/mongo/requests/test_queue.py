"""The queue as its requests make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.requests import Load, RequestQueue
from cluster.records import Counts, Status
from tests.support.requests import waiting

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def test_the_load_of_each_owner(database: Database) -> None:
    await waiting(database, owner="a", counts=Counts(images=10, completed=3, failed=1))
    await waiting(database, owner="a", counts=Counts(images=5))
    await waiting(database, owner="b", counts=Counts(images=7), status=Status.PROCESSING)
    await waiting(database, owner="c", counts=Counts(images=9), status=Status.COMPLETED)
    assert await RequestQueue(database).load() == {"a": Load(2, 11), "b": Load(1, 7)}
