"""Committed requests: their start, their reads and their removal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from cluster.mongo.connection import mongo_errors
from cluster.mongo.requests import transitions
from cluster.mongo.requests.writer import RequestWriter
from cluster.records import ProcessingRequest, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.mongo.connection import Database, Document
    from cluster.records import ByteCounts, Counts


class RequestStore:
    """Requests as clients and the sweeper see them.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._requests = database.requests
        self._writer = RequestWriter(database)

    async def commit(self, request: ProcessingRequest) -> ProcessingRequest:
        """Write the request, after its products. From now on it will be finished, even if every process dies.

        Returns:
            The request, or an earlier one with the same owner and idempotency key.
        """
        with mongo_errors():
            try:
                await self._writer.insert(transitions.commit(request))
            except DuplicateKeyError:
                if request.idempotency_key is None:
                    raise
                query = {"owner": request.owner, "idempotencyKey": request.idempotency_key}
                earlier = await self._find_one(query)
                if earlier is None:
                    raise
                return earlier
        return request

    async def get(self, request_id: str, *, owner: str | None = None) -> ProcessingRequest | None:
        """Return a request, or None when it does not exist or has another owner."""
        query = {"requestId": request_id, "deletedAt": None} | ({} if owner is None else {"owner": owner})
        with mongo_errors():
            return await self._find_one(query)

    async def find_repeat(self, owner: str, idempotency_key: str) -> ProcessingRequest | None:
        """Return the request that this owner sent earlier with this key."""
        with mongo_errors():
            return await self._find_one({"owner": owner, "idempotencyKey": idempotency_key})

    async def page(
        self,
        owner: str,
        *,
        status: Status | None = None,
        before_id: str | None = None,
        limit: int,
    ) -> list[ProcessingRequest]:
        """Return an owner's requests, the newest first. Identifiers sort by time."""
        query: Document = {"owner": owner, "deletedAt": None}
        if status is not None:
            query["status"] = status
        if before_id is not None:
            query["requestId"] = {"$lt": before_id}
        with mongo_errors():
            cursor = self._requests.find(query).sort("requestId", DESCENDING).limit(limit)
            return [ProcessingRequest.model_validate(document) async for document in cursor]

    async def keep_counts(self, request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts) -> None:
        """Raise the stored counts of a processing request, unless its epoch has changed. No count is lowered."""
        with mongo_errors():
            await self._writer.apply(transitions.keep_counts(request_id, epoch, counts, byte_counts))

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        """Return the identifiers that belong to a committed request."""
        with mongo_errors():
            cursor = self._requests.find({"requestId": {"$in": list(request_ids)}}, {"requestId": 1})
            return {document["requestId"] async for document in cursor}

    async def deleted(self) -> list[str]:
        """Return the deleted requests whose data the sweeper has not removed yet."""
        with mongo_errors():
            found = self._requests.find(transitions.DELETED, {"requestId": 1})
            return [document["requestId"] async for document in found]

    async def forget(self, request_id: str) -> None:
        """Remove the document of a deleted request. It goes last."""
        with mongo_errors():
            await self._writer.remove(transitions.forget(request_id))

    async def _find_one(self, query: Document) -> ProcessingRequest | None:
        document = await self._requests.find_one(query)
        return None if document is None else ProcessingRequest.model_validate(document)
