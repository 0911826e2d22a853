"""The webhook outbox: claimed by one at a time, and no attempt overwrites a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.control import RequestControl
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import RequestStore
from cluster.records import (
    Delivery,
    DeliveryResponse,
    DeliveryState,
    utc_now,
)
from tests.support.requests import committed, due_delivery, ended
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest


async def closed_with_delivery(
    database: Database, url: str = "https://shop.example/hook"
) -> tuple[ProcessingRequest, Delivery]:
    """A request that has ended, and the delivery that tells of it."""
    closed = ended(await committed(database, webhook={"url": url, "secret": "encrypted"}))
    delivery = due_delivery(closed, url=url)
    await RequestStore(database).close(closed, delivery)
    return closed, delivery


async def told(database: Database, request_id: str) -> tuple[bool, int]:
    """What the request tells of its webhook: whether it was triggered, and after how many attempts."""
    found = await RequestStore(database).get(request_id)
    assert found is not None
    assert found.webhook is not None
    return found.webhook.triggered, found.webhook.attempts


async def test_a_delivery_is_claimed_by_one_and_due_again_uncounted_when_its_claimer_dies(database: Database) -> None:
    outbox = Outbox(database)
    _, delivery = await closed_with_delivery(database)
    claimed = await outbox.claim_due(lease_seconds=0.5)
    assert claimed is not None
    assert (claimed.delivery_id, claimed.attempts) == (delivery.delivery_id, 0)
    assert await outbox.claim_due(lease_seconds=60) is None
    again: list[Delivery | None] = []

    async def is_due_again() -> bool:
        again.append(await outbox.claim_due(lease_seconds=60))
        return again[-1] is not None

    await wait_until_async(is_due_again, "the lease has ended")
    assert again[-1] is not None
    assert (again[-1].delivery_id, again[-1].attempts) == (delivery.delivery_id, 0)


async def test_deliveries_to_busy_hosts_are_left_for_later(database: Database) -> None:
    outbox = Outbox(database)
    busy = ["https://shop.example/a", "https://Shop.example?b", "https://shop.example"]
    others = ["https://shop.example:8443/a", "https://shopXexample/a", "https://shop.example.org/https://shop.example/"]
    for url in [*busy, *others]:
        await closed_with_delivery(database, url)
    claimed = []
    while delivery := await outbox.claim_due(lease_seconds=60, but_not_to=["https://shop.example"]):
        claimed.append(delivery.url)
    assert claimed == others
    assert await outbox.claim_due(lease_seconds=60) is not None


async def test_a_delivered_callback_is_told_on_its_request(database: Database) -> None:
    outbox = Outbox(database)
    request, _ = await closed_with_delivery(database)
    claimed = await outbox.claim_due(lease_seconds=60)
    assert claimed is not None
    response = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    await outbox.record_attempt(claimed, response, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    assert await told(database, request.request_id) == (True, 1)
    (made,) = await outbox.of_request(request.request_id)
    assert (made.state, made.attempts, made.responses) == ("delivered", 1, [response])
    again = await outbox.redeliver(request.request_id, made.delivery_id)
    assert again is not None
    assert (again.state, again.attempts, again.delivery_id) == ("pending", 0, made.delivery_id)
    assert await outbox.redeliver("req_other", made.delivery_id) is None


async def test_an_attempt_that_ends_late_leaves_the_state_to_the_later_one(database: Database) -> None:
    outbox = Outbox(database)
    request, delivery = await closed_with_delivery(database)
    first = await outbox.claim_due(lease_seconds=60)
    await outbox.redeliver(request.request_id, delivery.delivery_id)
    second = await outbox.claim_due(lease_seconds=60)
    assert first is not None
    assert second is not None
    good = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    late = DeliveryResponse(at=utc_now(), error="no answer", duration_seconds=15)
    await outbox.record_attempt(second, good, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    await outbox.record_attempt(first, late, state=DeliveryState.PENDING, next_attempt_at=utc_now())
    (found,) = await outbox.of_request(request.request_id)
    assert found.state is DeliveryState.DELIVERED
    assert found.responses == [good, late]
    assert await outbox.claim_due(lease_seconds=60) is None


async def test_a_request_that_is_tried_again_is_told_nothing_of_its_earlier_end(database: Database) -> None:
    outbox, control = Outbox(database), RequestControl(database)
    request, _ = await closed_with_delivery(database)
    earlier = await outbox.claim_due(lease_seconds=60)
    assert earlier is not None
    assert await control.retry(request, []) is not None
    response = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    await outbox.record_attempt(earlier, response, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    assert await told(database, request.request_id) == (False, 0)
    (made,) = await outbox.of_request(request.request_id)
    assert (made.state, made.attempts) == ("delivered", 1)
