"""The webhook sender's side of a request: how often its webhook was tried, and whether it was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.connection import mongo_errors
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import transitions
from cluster.mongo.requests.writer import RequestWriter

if TYPE_CHECKING:
    from datetime import datetime

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database
    from cluster.records import Delivery, DeliveryResponse, DeliveryState


class WebhookAttempts:
    """Attempts at deliveries, as the request and the outbox keep them.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outbox = Outbox(database)
        self._writer = RequestWriter(database)

    async def record(
        self,
        delivery: Delivery,
        response: DeliveryResponse,
        *,
        state: DeliveryState,
        next_attempt_at: datetime,
    ) -> None:
        """Write the response to an attempt on its delivery, and count it on the request, in one transaction.

        An attempt counts only here. One whose sender died says nothing about the endpoint.
        A request that is retried counts nothing of an earlier end.
        """
        transition = transitions.count_webhook_attempt(delivery, state)

        async def write(session: AsyncClientSession) -> None:
            await self._outbox.record_attempt(
                delivery, response, state=state, next_attempt_at=next_attempt_at, session=session
            )
            await self._writer.apply(transition, session=session)

        with mongo_errors():
            await self._database.in_transaction(write)
