"""A request tells how the webhook of its latest end went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import RequestControl, RequestStore, WebhookAttempts
from cluster.records import DeliveryResponse, DeliveryState, utc_now
from tests.support.requests import closed_with_delivery

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def told(database: Database, request_id: str) -> tuple[bool, int]:
    """Return whether the webhook of a request was triggered, and the number of its attempts."""
    found = await RequestStore(database).get(request_id)
    assert found is not None
    assert found.webhook is not None
    return found.webhook.triggered, found.webhook.attempts


async def test_a_delivered_callback_is_told_on_its_request(database: Database) -> None:
    outbox, attempts = Outbox(database), WebhookAttempts(database)
    request, _ = await closed_with_delivery(database)
    claimed = await outbox.claim_due(lease_seconds=60)
    assert claimed is not None
    response = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    await attempts.record(claimed, response, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    assert await told(database, request.request_id) == (True, 1)
    (made,) = await outbox.of_request(request.request_id)
    assert (made.state, made.attempts, made.responses) == ("delivered", 1, [response])
    again = await outbox.redeliver(request.request_id, made.delivery_id)
    assert again is not None
    assert (again.state, again.attempts, again.delivery_id) == ("pending", 0, made.delivery_id)
    assert await outbox.redeliver("req_other", made.delivery_id) is None


async def test_an_attempt_that_ends_late_leaves_the_state_to_the_later_one(database: Database) -> None:
    outbox, attempts = Outbox(database), WebhookAttempts(database)
    request, delivery = await closed_with_delivery(database)
    first = await outbox.claim_due(lease_seconds=60)
    await outbox.redeliver(request.request_id, delivery.delivery_id)
    second = await outbox.claim_due(lease_seconds=60)
    assert first is not None
    assert second is not None
    good = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    late = DeliveryResponse(at=utc_now(), error="no answer", duration_seconds=15)
    await attempts.record(second, good, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    await attempts.record(first, late, state=DeliveryState.PENDING, next_attempt_at=utc_now())
    (found,) = await outbox.of_request(request.request_id)
    assert found.state is DeliveryState.DELIVERED
    assert found.responses == [good, late]
    assert await outbox.claim_due(lease_seconds=60) is None


async def test_a_request_that_is_tried_again_is_told_nothing_of_its_earlier_end(database: Database) -> None:
    outbox, attempts = Outbox(database), WebhookAttempts(database)
    request, _ = await closed_with_delivery(database)
    earlier = await outbox.claim_due(lease_seconds=60)
    assert earlier is not None
    assert await RequestControl(database).retry(request, []) is not None
    response = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    await attempts.record(earlier, response, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    assert await told(database, request.request_id) == (False, 0)
    (made,) = await outbox.of_request(request.request_id)
    assert (made.state, made.attempts) == ("delivered", 1)
