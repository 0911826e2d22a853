"""What clients may change about an accepted request: end it, hold it, hurry it, do parts of it again, delete it.

Each is one write to the request, so that it holds whatever dies; those who work on the request see it there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from pymongo import ReturnDocument

from cluster.errors import StaleEpochError
from cluster.mongo.connection import mongo_errors
from cluster.mongo.queue import OPEN
from cluster.records import ProcessingRequest, Reason, Status, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection

    from cluster.codes import ImageErrorCode
    from cluster.mongo.connection import Database, Document
    from cluster.records import ByteCounts, Counts

ENDED = [status for status in Status if status.terminal]


class ControlSignals(NamedTuple):
    """What the coordinator of a request is asked to do."""

    stopping: Reason | None
    wait: bool  # paused, or it is another request's turn


class RequestControl:
    """Every method raises `StoreUnavailableError` when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._requests = database.requests

    async def cancel(self, request_id: str) -> ProcessingRequest | None:
        """Let an open request end; None when it has ended."""
        return await self._change(request_id, OPEN, [{"$set": {"stopping": _first("$stopping", Reason.CANCELLED)}}])

    async def set_paused(self, request_id: str, *, paused: bool) -> ProcessingRequest | None:
        """Hold an open request, or let it go on; None when it has ended."""
        queued_at = {"$cond": [{"$eq": ["$paused", paused]}, "$queuedAt", utc_now()]}
        return await self._change(request_id, OPEN, [{"$set": {"queuedAt": queued_at, "paused": paused}}])

    async def set_priority(self, request_id: str, priority: int) -> ProcessingRequest | None:
        """Change the priority of an open request; None when it has ended."""
        return await self._change(request_id, OPEN, {"$set": {"priority": priority}})

    async def retry(self, ended: ProcessingRequest, codes: Collection[ImageErrorCode]) -> ProcessingRequest | None:
        """Open an ended request again for the failed images with these codes; None when it is open already."""
        again = sum(failure.count for failure in ended.failures if failure.code in codes)
        seconds = ended.deadline_seconds
        change: Document = {
            "status": Status.PENDING,
            "retrying": list(codes),
            "reason": None,
            "stopping": None,
            "paused": False,
            "queuedAt": utc_now(),
            "startedAt": None,
            "completedAt": None,
            "deadlineAt": None if seconds is None else utc_now() + timedelta(seconds=seconds),
            "failures": [each.document() for each in ended.failures if each.code not in codes],
            "counts.failed": ended.counts.failed - again,
        }
        if ended.webhook is not None:
            change |= {"webhook.triggered": False, "webhook.attempts": 0}
        # Whoever closed it may not have heard that it did, and go on: its epoch is over. The same close as was read:
        # a second retry must not lower the counts twice.
        return await self._change(
            ended.request_id, ENDED, {"$set": change, "$inc": {"epoch": 1}}, completedAt=ended.completed_at
        )

    async def reopened(self, request_id: str, epoch: int) -> None:
        """The failed images of a retry are pending: the request is like any other."""
        with mongo_errors():
            await self._requests.update_one({"requestId": request_id, "epoch": epoch}, {"$set": {"retrying": None}})

    async def delete(self, request_id: str) -> bool:
        """Hide an ended request for good; what it has left is removed later. False when it is open."""
        change = {"$set": {"deletedAt": utc_now()}, "$unset": {"idempotencyKey": ""}}
        return await self._change(request_id, ENDED, change) is not None

    async def deleted(self) -> list[str]:
        """The requests that are hidden, and whose remains are to be removed."""
        with mongo_errors():
            found = self._requests.find({"deletedAt": {"$type": "date"}}, {"requestId": 1})
            return [document["requestId"] async for document in found]

    async def forget(self, request_id: str) -> None:
        """Remove the last trace of a deleted request."""
        with mongo_errors():
            await self._requests.delete_one({"requestId": request_id, "deletedAt": {"$type": "date"}})

    async def orders(self, request_id: str, epoch: int) -> ControlSignals:
        """What the coordinator that has claimed a request with an epoch is asked to do.

        Raises:
            StaleEpochError: A newer coordinator has claimed it since.
        """
        query = {"requestId": request_id, "epoch": epoch, "status": Status.PROCESSING}
        with mongo_errors():
            document = await self._requests.find_one(query, {"stopping": 1, "paused": 1, "yielding": 1})
        if document is None:
            raise StaleEpochError(request_id)
        stopping = document.get("stopping")
        return ControlSignals(stopping and Reason(stopping), bool(document.get("paused") or document.get("yielding")))

    async def requeue(self, request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts) -> bool:
        """Let a request wait without a coordinator, as was asked; False when it is to go on meanwhile."""
        change = {
            "status": Status.PENDING,
            "coordinator": None,
            "yielding": False,
            "queuedAt": utc_now(),
            "counts.completed": counts.completed,
            "counts.failed": counts.failed,
            "bytes": byte_counts.document(),
        }
        query: Document = {"requestId": request_id, "epoch": epoch, "status": Status.PROCESSING, "stopping": None}
        query["$or"] = [{"paused": True}, {"yielding": True}]
        with mongo_errors():
            return (await self._requests.update_one(query, {"$set": change})).matched_count == 1

    async def _change(
        self, request_id: str, statuses: list[Status], change: Document | list[Document], **more: object
    ) -> ProcessingRequest | None:
        query = {"requestId": request_id, "status": {"$in": statuses}, "deletedAt": None, **more}
        with mongo_errors():
            document = await self._requests.find_one_and_update(query, change, return_document=ReturnDocument.AFTER)
        return None if document is None else ProcessingRequest.model_validate(document)


def _first(field: str, otherwise: str) -> Document:
    return {"$ifNull": [field, otherwise]}
