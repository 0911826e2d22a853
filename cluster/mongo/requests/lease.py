"""The queue manager's side of a request: writes under its lease, so that an older queue manager changes nothing.

The newest queue manager has the lease. The lease's epoch is the fencing token. Every write is one transaction with a
write to the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pymongo import ReturnDocument

from cluster.errors import StaleEpochError
from cluster.mongo.connection import mongo_errors
from cluster.mongo.requests import transitions
from cluster.mongo.requests.queue import OPEN_FIELDS, OpenRequest, open_request
from cluster.mongo.requests.writer import RequestWriter
from cluster.records import ProcessingRequest, utc_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database, Document
    from cluster.mongo.requests.transitions import Transition

T = TypeVar("T")
_LEASE = "queue-manager"


class QueueLease:
    """One queue manager's right to write.

    Every method raises `StoreUnavailableError` when MongoDB does not answer. All but `claim` raise `StaleEpochError`
    when a newer queue manager has claimed the lease.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = database.leases
        self._requests = database.requests
        self._writer = RequestWriter(database)
        self._epoch: int | None = None  # None until this process has claimed the lease

    async def claim(self) -> None:
        """Claim the lease with the first call. Later calls do nothing, because they could depose a successor."""
        if self._epoch is not None:
            return
        with mongo_errors():
            lease = await self._leases.find_one_and_update(
                {"_id": _LEASE}, {"$inc": {"epoch": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        assert lease is not None  # noqa: S101 - an upsert
        self._epoch = int(lease["epoch"])

    async def check(self) -> None:
        """Return if no newer queue manager has claimed the lease."""
        with mongo_errors():
            if await self._leases.find_one(self._ours) is None:
                raise StaleEpochError(_LEASE)

    async def admit(self, request_id: str, coordinator: str) -> OpenRequest | None:
        """Give a waiting request to a coordinator. Return None when it does not wait any more."""
        admitted = await self._apply(transitions.admit(request_id, coordinator, now=utc_now()), fields=OPEN_FIELDS)
        return None if admitted is None else open_request(admitted)

    async def preempt(self, request_id: str) -> None:
        """Ask a processing request to wait again."""
        await self._apply(transitions.preempt(request_id))

    async def assign(self, request_id: str, coordinator: str) -> None:
        """Give a processing request to another coordinator."""
        await self._apply(transitions.assign(request_id, coordinator))

    async def stop_overdue(self) -> None:
        """Ask every open request to end whose deadline is over."""
        transition = transitions.stop_overdue(now=utc_now())
        if await self._is_any(transition.guard):

            async def write(session: AsyncClientSession) -> None:
                await self._writer.apply_to_all(transition, session=session)

            await self._fenced(write)

    async def claim_stopping(self, request_id: str) -> ProcessingRequest | None:
        """Claim a request that is to end before it was admitted. The caller closes it.

        Return None when it does not wait any more.
        """
        claimed = await self._apply(transitions.claim_stopping(request_id))
        return None if claimed is None else ProcessingRequest.model_validate(claimed)

    @property
    def _ours(self) -> Document:
        return {"_id": _LEASE, "epoch": self._epoch}

    async def _is_any(self, guard: Document) -> bool:
        """Look before a transaction, which costs more. Most of the time there is nothing to write."""
        with mongo_errors():
            return await self._requests.find_one(guard, {"_id": 1}) is not None

    async def _apply(self, transition: Transition, *, fields: Document | None = None) -> Document | None:
        async def write(session: AsyncClientSession) -> Document | None:
            return await self._writer.apply_and_read(transition, fields=fields, session=session)

        return await self._fenced(write)

    async def _fenced(self, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Carry out a write in one transaction with a write to the lease.

        A read of the lease would not conflict with a newer claim.
        """

        async def both(session: AsyncClientSession) -> T:
            held = await self._leases.update_one(self._ours, {"$set": {"usedAt": utc_now()}}, session=session)
            if held.matched_count == 0:
                raise StaleEpochError(_LEASE)
            return await write(session)

        with mongo_errors():
            return await self._database.in_transaction(both)
