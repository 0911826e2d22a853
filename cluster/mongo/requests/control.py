"""The changes that a client may make to an accepted request: cancel, pause, resume, priority, retry and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.connection import mongo_errors
from cluster.mongo.requests import transitions
from cluster.mongo.requests.writer import RequestWriter
from cluster.records import ProcessingRequest, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection

    from cluster.codes import ImageErrorCode
    from cluster.mongo.connection import Database
    from cluster.mongo.requests.transitions import Transition


class RequestControl:
    """Each change is one write to the request, so no death of a process undoes it. Actors read it there.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._writer = RequestWriter(database)

    async def cancel(self, request_id: str) -> ProcessingRequest | None:
        """Ask an open request to end. Return None when it has ended."""
        return await self._apply(transitions.cancel(request_id))

    async def pause(self, request_id: str) -> ProcessingRequest | None:
        """Hold an open request. Return None when it has ended."""
        return await self._apply(transitions.pause(request_id, now=utc_now()))

    async def resume(self, request_id: str) -> ProcessingRequest | None:
        """Let a paused request go on. Return None when it has ended."""
        return await self._apply(transitions.resume(request_id, now=utc_now()))

    async def set_priority(self, request_id: str, priority: int) -> ProcessingRequest | None:
        """Change the priority of an open request. Return None when it has ended."""
        return await self._apply(transitions.set_priority(request_id, priority))

    async def retry(self, ended: ProcessingRequest, codes: Collection[ImageErrorCode]) -> ProcessingRequest | None:
        """Open an ended request again for the failed images with these codes. Return None when it is open already."""
        return await self._apply(transitions.retry(ended, codes, now=utc_now()))

    async def delete(self, request_id: str) -> bool:
        """Hide an ended request for good. The sweeper removes its data later. Return False when it is open."""
        return await self._apply(transitions.delete(request_id, now=utc_now())) is not None

    async def _apply(self, transition: Transition) -> ProcessingRequest | None:
        with mongo_errors():
            document = await self._writer.apply_and_read(transition)
        return None if document is None else ProcessingRequest.model_validate(document)
