"""Deliveries are claimed by one sender at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.outbox import Outbox
from tests.support.requests import closed_with_delivery
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from cluster.mongo.connection import Database
    from cluster.records import Delivery


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


async def test_deliveries_of_busy_keys_are_left_for_later(database: Database) -> None:
    outbox = Outbox(database)
    _, delivery = await closed_with_delivery(database)
    assert await outbox.claim_due(lease_seconds=60, but_not_of=[delivery.owner]) is None
    assert await outbox.claim_due(lease_seconds=60, but_not_of=["another"]) is not None
