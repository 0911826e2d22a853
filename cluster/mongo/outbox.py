"""The collection `webhook_deliveries`: the webhooks to send, and the responses to them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bson import Regex
from pymongo import ASCENDING, ReturnDocument

from cluster.http.url import origin_pattern
from cluster.mongo.connection import mongo_errors
from cluster.records import Delivery, DeliveryResponse, DeliveryState, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database

_MAX_RESPONSES = 50  # the latest ones, because a delivery may be sent again without end


class Outbox:
    """Deliveries to endpoints. Methods with a session are part of a transaction of the request.

    The other methods raise `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._deliveries = database.deliveries

    async def add(self, delivery: Delivery, *, session: AsyncClientSession) -> None:
        """Put a delivery in the outbox, with the close of its request."""
        await self._deliveries.insert_one(delivery.document(), session=session)

    async def claim_due(
        self, *, lease_seconds: float, but_not_to: Collection[str] = (), but_not_of: Collection[str] = ()
    ) -> Delivery | None:
        """Claim the delivery that has been due longest. If the claimer dies, it is due again after the lease.

        Args:
            lease_seconds: How long it belongs to the claimer.
            but_not_to: Origins of URLs whose deliveries have to wait.
            but_not_of: Keys whose deliveries have to wait.
        """
        now = utc_now()
        due: dict[str, object] = {"state": DeliveryState.PENDING, "nextAttemptAt": {"$lte": now}}
        if but_not_to:
            due["url"] = {"$nin": [Regex(origin_pattern(origin), "i") for origin in but_not_to]}
        if but_not_of:
            due["owner"] = {"$nin": [*but_not_of]}
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                due,
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
        session: AsyncClientSession,
    ) -> None:
        """Write the response to an attempt, and the new state.

        If the delivery was claimed again meanwhile, only the response is kept: the state is the later claimer's.
        """
        this = {"deliveryId": delivery.delivery_id}
        kept = {
            "$inc": {"attempts": 1},
            "$push": {"responses": {"$each": [response.document()], "$slice": -_MAX_RESPONSES}},
        }
        change = {"$set": {"state": state, "nextAttemptAt": next_attempt_at, "unresolvedSince": None}}
        await self._deliveries.update_one(this, kept, session=session)
        await self._deliveries.update_one(_still_claimed(delivery), change, session=session)

    async def postpone(self, delivery: Delivery, *, next_attempt_at: datetime, unresolved_since: datetime) -> None:
        """Make a claimed delivery due later, without an attempt, because no name server answers for its host."""
        change = {"$set": {"nextAttemptAt": next_attempt_at, "unresolvedSince": unresolved_since}}
        with mongo_errors():
            await self._deliveries.update_one(_still_claimed(delivery), change)

    async def of_request(self, request_id: str) -> list[Delivery]:
        """Return the deliveries of one request, the oldest first."""
        with mongo_errors():
            cursor = self._deliveries.find({"requestId": request_id}).sort("createdAt", ASCENDING)
            return [Delivery.model_validate(document) async for document in cursor]

    async def redeliver(self, request_id: str, delivery_id: str) -> Delivery | None:
        """Make a delivery due now, with all its attempts again. Return None when there is no such delivery."""
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                {"requestId": request_id, "deliveryId": delivery_id},
                {
                    "$set": {
                        "state": DeliveryState.PENDING,
                        "attempts": 0,
                        "nextAttemptAt": utc_now(),
                        "unresolvedSince": None,
                    }
                },
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else Delivery.model_validate(document)

    async def delete(self, request_id: str) -> None:
        """Remove all deliveries of a request."""
        with mongo_errors():
            await self._deliveries.delete_many({"requestId": request_id})


def _still_claimed(delivery: Delivery) -> dict[str, object]:
    return {
        "deliveryId": delivery.delivery_id,
        "state": DeliveryState.PENDING,
        "nextAttemptAt": delivery.next_attempt_at,
    }
