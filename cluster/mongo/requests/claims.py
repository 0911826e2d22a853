"""The coordinator's side of a request: its claim, its control signals, and its writes under its epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import StaleEpochError
from cluster.mongo.connection import mongo_errors
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import transitions
from cluster.mongo.requests.writer import RequestWriter
from cluster.records import ProcessingRequest, Reason, Status, utc_now

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database
    from cluster.records import ByteCounts, Counts, Delivery


class ControlSignals(NamedTuple):
    """The marks in a request that tell its coordinator to stop or to wait."""

    stopping: Reason | None  # end the request for this reason
    wait: bool  # requeue it: it is paused or preempted


class RequestClaims:
    """Coordinators claim requests. The newest claim alone may write.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests = database.requests
        self._outbox = Outbox(database)
        self._writer = RequestWriter(database)

    async def claim(self, request_id: str) -> ProcessingRequest | None:
        """Make the caller the newest coordinator of a processing request. Return None when it has ended or is gone."""
        with mongo_errors():
            document = await self._writer.apply_and_read(transitions.claim(request_id))
        return None if document is None else ProcessingRequest.model_validate(document)

    async def claimed(self, request_id: str, epoch: int) -> ProcessingRequest | None:
        """Return the processing request that the caller has claimed before, or None when it has ended or is gone.

        Raises:
            StaleEpochError: A newer coordinator has claimed it since.
        """
        query = {"requestId": request_id, "deletedAt": None}
        with mongo_errors():
            document = await self._requests.find_one(query)
        request = None if document is None else ProcessingRequest.model_validate(document)
        if request is None or request.status is not Status.PROCESSING:
            return None
        if request.epoch != epoch:
            raise StaleEpochError(request_id)
        return request

    async def control_signals(self, request_id: str, epoch: int) -> ControlSignals:
        """Return what the coordinator with this epoch is asked to do.

        Raises:
            StaleEpochError: A newer coordinator has claimed the request.
        """
        fields = {"stopping": 1, "paused": 1, "yielding": 1}
        with mongo_errors():
            document = await self._requests.find_one(transitions.claimed(request_id, epoch), fields)
        if document is None:
            raise StaleEpochError(request_id)
        stopping = document.get("stopping")
        return ControlSignals(stopping and Reason(stopping), bool(document.get("paused") or document.get("yielding")))

    async def finish_reopening(self, request_id: str, epoch: int) -> None:
        """Note that the failed images of a retry are pending. The request is like any other again."""
        with mongo_errors():
            await self._writer.apply(transitions.finish_reopening(request_id, epoch))

    async def requeue(self, request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts) -> bool:
        """Let a paused or preempted request wait without a coordinator. Return False when it is to go on after all."""
        transition = transitions.requeue(request_id, epoch, counts, byte_counts, now=utc_now())
        with mongo_errors():
            return await self._writer.apply(transition)

    async def close(self, ended: ProcessingRequest, delivery: Delivery | None) -> None:
        """Close the request and write its webhook's outbox entry, in one transaction.

        Raises:
            StaleEpochError: A newer coordinator has claimed the request, or it is closed already.
        """
        transition = transitions.close(ended)

        async def write(session: AsyncClientSession) -> None:
            if not await self._writer.apply(transition, session=session):
                raise StaleEpochError(ended.request_id)
            if delivery is not None:
                await self._outbox.add(delivery, session=session)

        with mongo_errors():
            await self._database.in_transaction(write)
