"""The collection `processing_requests`: accepted uploads, from the commit to the close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from cluster.errors import StaleEpochError
from cluster.mongo.connection import mongo_errors
from cluster.records import ProcessingRequest, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database, Document
    from cluster.records import ByteCounts, Counts, Delivery


_WRITTEN_AT_CLOSE = {"status", "reason", "completed_at", "counts", "bytes", "failures"}


class RequestStore:
    """Every method raises `StoreUnavailableError` when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests = database.requests

    async def commit(self, request: ProcessingRequest) -> ProcessingRequest:
        """Write the request, after its products; from here on it is promised to be finished.

        Returns:
            The request, or the earlier one that has its owner and idempotency key.
        """
        with mongo_errors():
            try:
                await self._requests.insert_one(request.document())
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
        """One request; None when there is none, or it is another owner's."""
        query = {"requestId": request_id, "deletedAt": None} | ({} if owner is None else {"owner": owner})
        with mongo_errors():
            return await self._find_one(query)

    async def find_repeat(self, owner: str, idempotency_key: str) -> ProcessingRequest | None:
        """The request that this owner sent earlier with this key."""
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
        """An owner's requests, the newest first; identifiers sort by time."""
        query: Document = {"owner": owner, "deletedAt": None}
        if status is not None:
            query["status"] = status
        if before_id is not None:
            query["requestId"] = {"$lt": before_id}
        with mongo_errors():
            cursor = self._requests.find(query).sort("requestId", DESCENDING).limit(limit)
            return [ProcessingRequest.model_validate(document) async for document in cursor]

    async def claim(self, request_id: str) -> ProcessingRequest | None:
        """Raise the epoch of an open request: the caller is its newest coordinator. None when it is closed or gone."""
        with mongo_errors():
            document = await self._requests.find_one_and_update(
                {"requestId": request_id, "status": Status.PROCESSING},
                {"$inc": {"epoch": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else ProcessingRequest.model_validate(document)

    async def claimed(self, request_id: str, epoch: int) -> ProcessingRequest | None:
        """The open request that the caller has claimed before. None when it is closed or gone.

        Raises:
            StaleEpochError: A newer coordinator has claimed it since.
        """
        request = await self.get(request_id)
        if request is None or request.status is not Status.PROCESSING:
            return None
        if request.epoch != epoch:
            raise StaleEpochError(request_id)
        return request

    async def keep_reached(self, request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts) -> None:
        """Keep how far an open request was seen to be, unless its epoch is another by now; nobody is shown less."""
        reached = {
            "counts.completed": counts.completed,
            "counts.failed": counts.failed,
            "bytes.in": byte_counts.in_,
            "bytes.out": byte_counts.out,
        }
        with mongo_errors():
            query = {"requestId": request_id, "status": Status.PROCESSING, "retrying": None, "epoch": epoch}
            await self._requests.update_one(query, {"$max": reached})

    async def close(self, closed: ProcessingRequest, delivery: Delivery | None) -> None:
        """Close the request and write the webhook's outbox entry, both or neither.

        Raises:
            StaleEpochError: A newer coordinator owns the request, or it is closed already.
        """
        query = {"requestId": closed.request_id, "status": Status.PROCESSING, "epoch": closed.epoch}
        change = closed.model_dump(include=_WRITTEN_AT_CLOSE)

        async def write(session: AsyncClientSession) -> None:
            result = await self._requests.update_one(query, {"$set": change}, session=session)
            if result.matched_count == 0:
                raise StaleEpochError(closed.request_id)
            if delivery is not None:
                await self._database.deliveries.insert_one(delivery.document(), session=session)

        with mongo_errors():
            await self._database.in_transaction(write)

    async def existing(self, request_ids: Iterable[str]) -> set[str]:
        """Those of the identifiers that belong to a committed request."""
        with mongo_errors():
            cursor = self._requests.find({"requestId": {"$in": list(request_ids)}}, {"requestId": 1})
            return {document["requestId"] async for document in cursor}

    async def _find_one(self, query: Document) -> ProcessingRequest | None:
        document = await self._requests.find_one(query)
        return None if document is None else ProcessingRequest.model_validate(document)
