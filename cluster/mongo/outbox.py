"""The collection `webhook_deliveries`: callbacks to be made, and what became of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from bson import Regex
from pymongo import ASCENDING, ReturnDocument

from cluster.mongo.connection import mongo_errors
from cluster.records import Delivery, DeliveryResponse, DeliveryState, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database


_MAX_RESPONSES = 50  # the latest; a delivery may be sent again without end


class Outbox:
    """Every method raises `StoreUnavailableError` when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deliveries = database.deliveries
        self._requests = database.requests

    async def claim_due(self, *, lease_seconds: float, but_not_to: Collection[str] = ()) -> Delivery | None:
        """The delivery that has been due longest. It is due again after the lease, should the claimer die.

        Args:
            lease_seconds: How long it is the claimer's.
            but_not_to: Origins of URLs, whose deliveries have to wait.
        """
        now = utc_now()
        due = {"state": DeliveryState.PENDING, "nextAttemptAt": {"$lte": now}}
        others = {"url": {"$nin": [Regex(rf"^{re.escape(origin)}(?:[/\\?#]|$)", "i") for origin in but_not_to]}}
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                due | others if but_not_to else due,
                {"$set": {"nextAttemptAt": now + timedelta(seconds=lease_seconds)}},
                sort=[("nextAttemptAt", ASCENDING)],
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else Delivery.model_validate(document)

    async def record_attempt(
        self,
        delivery: Delivery,
        response: DeliveryResponse,
        *,
        state: DeliveryState,
        next_attempt_at: datetime,
    ) -> None:
        """Write what an attempt got, on the delivery and on its request, both or neither.

        The request tells of its latest end only: once it is tried again, nothing of an earlier one.

        Only here it is counted: one whose sender died says nothing about the endpoint.
        When the delivery was claimed again meanwhile, only the response is kept: its state is the later claimer's.
        """
        this = {"deliveryId": delivery.delivery_id}
        still_ours = this | {"state": DeliveryState.PENDING, "nextAttemptAt": delivery.next_attempt_at}
        kept = {
            "$inc": {"attempts": 1},
            "$push": {"responses": {"$each": [response.document()], "$slice": -_MAX_RESPONSES}},
        }
        ended = {"requestId": delivery.request_id, "completedAt": delivery.created_at}
        accepted = {"$set": {"webhook.triggered": True}} if state is DeliveryState.DELIVERED else {}

        async def write(session: AsyncClientSession) -> None:
            change = {"$set": {"state": state, "nextAttemptAt": next_attempt_at}}
            await self._deliveries.update_one(this, kept, session=session)
            await self._deliveries.update_one(still_ours, change, session=session)
            await self._requests.update_one(ended, {"$inc": {"webhook.attempts": 1}} | accepted, session=session)

        with mongo_errors():
            await self._database.in_transaction(write)

    async def of_request(self, request_id: str) -> list[Delivery]:
        """The deliveries of one request, the oldest first."""
        with mongo_errors():
            cursor = self._deliveries.find({"requestId": request_id}).sort("createdAt", ASCENDING)
            return [Delivery.model_validate(document) async for document in cursor]

    async def redeliver(self, request_id: str, delivery_id: str) -> Delivery | None:
        """Make a delivery due now, with all its attempts before it again; None when there is no such delivery."""
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                {"requestId": request_id, "deliveryId": delivery_id},
                {"$set": {"state": DeliveryState.PENDING, "attempts": 0, "nextAttemptAt": utc_now()}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else Delivery.model_validate(document)

    async def delete(self, request_id: str) -> None:
        """Remove all deliveries of a request."""
        with mongo_errors():
            await self._deliveries.delete_many({"requestId": request_id})
