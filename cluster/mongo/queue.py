"""The collection `processing_requests` as the queue: who waits, who is at work, and who is next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pymongo import ASCENDING

from cluster.mongo.connection import mongo_errors
from cluster.records import Status

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.mongo.connection import Database, Document

OPEN = [status for status in Status if not status.terminal]
WAITING = {"status": Status.PENDING, "paused": False, "stopping": None}
OPEN_FIELDS = {
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
    """What the queue is; `QueueLease` changes it.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._requests = database.requests

    async def processing(self) -> list[OpenRequest]:
        """The requests that were admitted and are not closed."""
        with mongo_errors():
            found = self._requests.find({"status": Status.PROCESSING}, OPEN_FIELDS)
            return [open_request(document) async for document in found]

    async def candidates(self) -> list[Candidate]:
        """Who may be next: of each owner and priority, the one that has waited longest."""
        pipeline: list[Document] = [
            {"$match": WAITING},
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

    async def stopping(self, *, limit: int) -> list[str]:
        """Return waiting requests that are to stop."""
        with mongo_errors():
            found = self._requests.find({"status": Status.PENDING, "stopping": {"$ne": None}}, {"requestId": 1})
            return [document["requestId"] async for document in found.limit(limit)]

    async def assigned_to(self, coordinator: str) -> str | None:
        """The open request that a coordinator has."""
        with mongo_errors():
            document = await self._requests.find_one(
                {"status": Status.PROCESSING, "coordinator": coordinator}, {"requestId": 1}
            )
        return None if document is None else str(document["requestId"])

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


def open_request(document: Document) -> OpenRequest:
    """Of a document with `OPEN_FIELDS`."""
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
