"""The collection `processing_requests` as the queue: who waits, who is at work, and who is next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pymongo import ASCENDING, ReturnDocument

from cluster.mongo.connection import mongo_errors
from cluster.records import ProcessingRequest, Reason, Status, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.mongo.connection import Database, Document

OPEN = [status for status in Status if not status.terminal]
_WAITING = {"status": Status.PENDING, "paused": False, "stopping": None}
_OPEN_FIELDS = {
    "requestId": 1,
    "owner": 1,
    "priority": 1,
    "counts.images": 1,
    "coordinator": 1,
    "queuedAt": 1,
    "admittedAt": 1,
    "yielding": 1,
    "paused": 1,
    "stopping": 1,
}


class OpenRequest(NamedTuple):
    """A request that was admitted and is not closed."""

    request_id: str
    owner: str
    priority: int
    images: int
    coordinator: str | None  # the actor's name
    queued_at: datetime
    admitted_at: datetime
    is_leaving: bool  # it is asked to wait again, or to end


class Candidate(NamedTuple):
    """The oldest of the waiting requests that have one owner and one priority."""

    request_id: str
    owner: str
    priority: int
    queued_at: datetime


class Load(NamedTuple):
    """What is open: of one owner, or of all."""

    requests: int
    images: int  # that are not terminal


class RequestQueue:
    """Every method raises `StoreUnavailableError` when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._requests = database.requests

    async def processing(self) -> list[OpenRequest]:
        """The requests that were admitted and are not closed."""
        with mongo_errors():
            found = self._requests.find({"status": Status.PROCESSING}, _OPEN_FIELDS)
            return [_open_request(document) async for document in found]

    async def candidates(self) -> list[Candidate]:
        """Who may be next: of each owner and priority, the one that has waited longest."""
        pipeline: list[Document] = [
            {"$match": _WAITING},
            {"$sort": {"queuedAt": ASCENDING}},
            {
                "$group": {
                    "_id": {"owner": "$owner", "priority": "$priority"},
                    "requestId": {"$first": "$requestId"},
                    "queuedAt": {"$first": "$queuedAt"},
                }
            },
        ]
        with mongo_errors():
            return [
                Candidate(group["requestId"], group["_id"]["owner"], group["_id"]["priority"], group["queuedAt"])
                async for group in await self._requests.aggregate(pipeline)
            ]

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
        with mongo_errors():
            document = await self._requests.find_one_and_update(
                {"requestId": request_id, **_WAITING},
                [{"$set": change}],
                projection=_OPEN_FIELDS,
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else _open_request(document)

    async def give_way(self, request_id: str) -> None:
        """Let a request that is at work wait again."""
        with mongo_errors():
            await self._requests.update_one(
                {"requestId": request_id, "status": Status.PROCESSING}, {"$set": {"yielding": True}}
            )

    async def assign(self, request_id: str, coordinator: str) -> None:
        """Give an open request to another coordinator."""
        with mongo_errors():
            await self._requests.update_one(
                {"requestId": request_id, "status": Status.PROCESSING}, {"$set": {"coordinator": coordinator}}
            )

    async def assigned_to(self, coordinator: str) -> str | None:
        """The open request that a coordinator has."""
        with mongo_errors():
            document = await self._requests.find_one(
                {"status": Status.PROCESSING, "coordinator": coordinator}, {"requestId": 1}
            )
        return None if document is None else str(document["requestId"])

    async def stop_overdue(self) -> None:
        """Let every open request end whose deadline is over."""
        query = {"status": {"$in": OPEN}, "deadlineAt": {"$lte": utc_now()}, "stopping": None}
        with mongo_errors():
            await self._requests.update_many(query, {"$set": {"stopping": Reason.TIMEOUT}})

    async def claim_stopping(self) -> ProcessingRequest | None:
        """A request that is to end before it was admitted; it is the caller's, who ends it."""
        with mongo_errors():
            document = await self._requests.find_one_and_update(
                {"status": Status.PENDING, "stopping": {"$ne": None}},
                {"$set": {"status": Status.PROCESSING, "coordinator": None}, "$inc": {"epoch": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else ProcessingRequest.model_validate(document)

    async def load(self) -> dict[str, Load]:
        """What each owner has in the queue, at work or waiting."""
        unfinished = {"$subtract": ["$counts.images", {"$add": ["$counts.completed", "$counts.failed"]}]}
        pipeline: list[Document] = [
            {"$match": {"status": {"$in": OPEN}}},
            {"$group": {"_id": "$owner", "requests": {"$sum": 1}, "images": {"$sum": unfinished}}},
        ]
        with mongo_errors():
            return {
                group["_id"]: Load(group["requests"], group["images"])
                async for group in await self._requests.aggregate(pipeline)
            }


def _open_request(document: Document) -> OpenRequest:
    return OpenRequest(
        document["requestId"],
        document["owner"],
        document["priority"],
        document["counts"]["images"],
        document.get("coordinator"),
        document["queuedAt"],
        document.get("admittedAt") or document["queuedAt"],
        bool(document.get("yielding") or document.get("paused") or document.get("stopping")),
    )
