"""The newest coordinator of a request alone may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.errors import StaleEpochError
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import RequestClaims, RequestStore
from cluster.records import Status
from tests.support.requests import committed, due_delivery, ended

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def test_closing_and_its_callback_are_one_transaction(database: Database) -> None:
    request = await committed(database)
    claims = RequestClaims(database)
    closed = ended(request)
    delivery = due_delivery(closed)
    await claims.close(closed, delivery)
    found = await RequestStore(database).get(request.request_id)
    assert found is not None
    assert found.status is Status.COMPLETED
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    with pytest.raises(StaleEpochError):
        await claims.close(closed, due_delivery(closed))
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    assert await claims.claim(request.request_id) is None


async def test_a_coordinator_does_not_claim_from_its_successor(database: Database) -> None:
    request = await committed(database)
    claims = RequestClaims(database)
    again = await claims.claimed(request.request_id, request.epoch)
    assert again is not None
    assert again.epoch == request.epoch
    successor = await claims.claim(request.request_id)
    assert successor is not None
    with pytest.raises(StaleEpochError):
        await claims.claimed(request.request_id, request.epoch)
    assert await claims.claimed(request.request_id, successor.epoch) is not None
