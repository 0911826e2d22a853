"""What only the one queue manager writes, so that an older one, cut off and still alive, changes nothing any more.

The newest one has the lease; its epoch is the fencing token. Every write is one transaction with a write to the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pymongo import ReturnDocument

from cluster.errors import StaleEpochError
from cluster.mongo.connection import mongo_errors
from cluster.mongo.queue import OPEN, OPEN_FIELDS, WAITING, OpenRequest, open_request
from cluster.records import ProcessingRequest, Reason, Status, utc_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database, Document

T = TypeVar("T")
_LEASE = "queue-manager"


class QueueLease:
    """One queue manager's right to write.

    Every method raises `StoreUnavailableError` when MongoDB does not answer, and all but `claim` raise
    `StaleEpochError` when a newer queue manager has claimed the lease.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = database.leases
        self._requests = database.requests
        self._epoch: int | None = None  # None until this process has claimed the lease

    async def claim(self) -> None:
        """Be the newest, from the first call on; a second one claims nothing, or it could depose a successor."""
        if self._epoch is not None:
            return
        with mongo_errors():
            lease = await self._leases.find_one_and_update(
                {"_id": _LEASE}, {"$inc": {"epoch": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        assert lease is not None  # noqa: S101 - an upsert
        self._epoch = int(lease["epoch"])

    async def check(self) -> None:
        """Return while nobody newer has claimed the lease."""
        with mongo_errors():
            if await self._leases.find_one(self._ours) is None:
                raise StaleEpochError(_LEASE)

    async def admit(self, request_id: str, coordinator: str) -> OpenRequest | None:
        """Give a waiting request to a coordinator; None when it does not wait any more."""
        now = utc_now()
        change = {
            "status": Status.PROCESSING,
            "startedAt": {"$ifNull": ["$startedAt", now]},
            "admittedAt": now,
            "coordinator": coordinator,
            "yielding": False,
        }
        admitted = await self._write({"requestId": request_id, **WAITING}, [{"$set": change}], fields=OPEN_FIELDS)
        return None if admitted is None else open_request(admitted)

    async def preempt(self, request_id: str) -> None:
        """Let a request that is at work wait again."""
        await self._write({"requestId": request_id, "status": Status.PROCESSING}, {"$set": {"yielding": True}})

    async def assign(self, request_id: str, coordinator: str) -> None:
        """Give an open request to another coordinator."""
        change = {"$set": {"coordinator": coordinator}}
        await self._write({"requestId": request_id, "status": Status.PROCESSING}, change)

    async def stop_overdue(self) -> None:
        """Let every open request end whose deadline is over."""
        query = {"status": {"$in": OPEN}, "deadlineAt": {"$lte": utc_now()}, "stopping": None}
        if await self._is_any(query):

            async def write(session: AsyncClientSession) -> None:
                await self._requests.update_many(query, {"$set": {"stopping": Reason.TIMEOUT}}, session=session)

            await self._fenced(write)

    async def claim_stopping(self, request_id: str) -> ProcessingRequest | None:
        """Claim a waiting request that is to stop, for the caller to close. None when it does not wait any more."""
        query = {"requestId": request_id, "status": Status.PENDING, "stopping": {"$ne": None}}
        change = {"$set": {"status": Status.PROCESSING, "coordinator": None}, "$inc": {"epoch": 1}}
        claimed = await self._write(query, change)
        return None if claimed is None else ProcessingRequest.model_validate(claimed)

    @property
    def _ours(self) -> Document:
        return {"_id": _LEASE, "epoch": self._epoch}

    async def _is_any(self, query: Document) -> bool:
        """A look costs less than a transaction, and most of the time there is nothing to write."""
        with mongo_errors():
            return await self._requests.find_one(query, {"_id": 1}) is not None

    async def _write(
        self, query: Document, change: Document | list[Document], *, fields: dict[str, Any] | None = None
    ) -> Document | None:
        """Change one request, as it is afterwards; None when there is none."""

        async def write(session: AsyncClientSession) -> Document | None:
            return await self._requests.find_one_and_update(
                query, change, projection=fields, return_document=ReturnDocument.AFTER, session=session
            )

        return await self._fenced(write)

    async def _fenced(self, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Carry out a write together with one to the lease; a read of it would not conflict with a newer claim."""

        async def both(session: AsyncClientSession) -> T:
            held = await self._leases.update_one(self._ours, {"$set": {"usedAt": utc_now()}}, session=session)
            if held.matched_count == 0:
                raise StaleEpochError(_LEASE)
            return await write(session)

        with mongo_errors():
            return await self._database.in_transaction(both)
