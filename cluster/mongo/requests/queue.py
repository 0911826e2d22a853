"""The queue as the requests make it: those that wait, those that are processing, and the load of each owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pymongo import ASCENDING

from cluster.mongo.connection import mongo_errors
from cluster.mongo.requests.transitions import OPEN, STOPPING, WAITING
from cluster.records import Status

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.mongo.connection import Database, Document

OPEN_FIELDS: Document = {
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
    """An open request that was admitted: it is processing."""

    request_id: str
    owner: str
    priority: int
    images: int
    coordinator: str | None  # the actor's name
    queued_at: datetime
    admitted_at: datetime
    frees_place: bool  # soon: it is paused, preempted or stopping


class Candidate(NamedTuple):
    """The oldest of the waiting requests that have one owner and one priority."""

    request_id: str
    owner: str
    priority: int
    queued_at: datetime


class Load(NamedTuple):
    """The open requests, of one owner or of all."""

    requests: int
    images: int  # that are not terminal


class RequestQueue:
    """Reads of the queue. `QueueLease` changes it.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._requests = database.requests

    async def processing(self) -> list[OpenRequest]:
        """Return the requests that were admitted and are not closed."""
        with mongo_errors():
            found = self._requests.find({"status": Status.PROCESSING}, OPEN_FIELDS)
            return [open_request(document) async for document in found]

    async def candidates(self) -> list[Candidate]:
        """Return the requests that may be admitted next: the oldest of each owner and priority."""
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
            found = self._requests.find(STOPPING, {"requestId": 1})
            return [document["requestId"] async for document in found.limit(limit)]

    async def assigned_to(self, coordinator: str) -> str | None:
        """Return the processing request that a coordinator has."""
        with mongo_errors():
            document = await self._requests.find_one(
                {"status": Status.PROCESSING, "coordinator": coordinator}, {"requestId": 1}
            )
        return None if document is None else str(document["requestId"])

    async def load(self) -> dict[str, Load]:
        """Return the open requests of each owner."""
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
    """Make the record from a document with `OPEN_FIELDS`."""
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
