"""The writes to `processing_requests`, made for all the classes of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ReturnDocument

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession

    from cluster.mongo.connection import Database, Document
    from cluster.mongo.requests.transitions import Transition


class RequestWriter:
    """Every write to the collection is one of these methods.

    They let MongoDB's errors pass as they are, because a transaction decides by them whether to try again.
    """

    def __init__(self, database: Database) -> None:
        self._requests = database.requests

    async def insert(self, document: Document) -> None:
        """Write the document of a new request."""
        await self._requests.insert_one(document)

    async def apply(self, transition: Transition, *, session: AsyncClientSession | None = None) -> bool:
        """Change one request. Return whether the guard held."""
        result = await self._requests.update_one(transition.guard, transition.change, session=session)
        return result.matched_count == 1

    async def apply_and_read(
        self,
        transition: Transition,
        *,
        fields: Document | None = None,
        session: AsyncClientSession | None = None,
    ) -> Document | None:
        """Change one request. Return it as it is afterwards, or None when the guard did not hold."""
        return await self._requests.find_one_and_update(
            transition.guard,
            transition.change,
            projection=fields,
            return_document=ReturnDocument.AFTER,
            session=session,
        )

    async def apply_to_all(self, transition: Transition, *, session: AsyncClientSession) -> None:
        """Change every request for which the guard holds."""
        await self._requests.update_many(transition.guard, transition.change, session=session)

    async def remove(self, guard: Document) -> None:
        """Remove one request."""
        await self._requests.delete_one(guard)
