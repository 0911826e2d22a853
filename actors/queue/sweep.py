"""The sweep removes the products of uploads that died before their commit, and all of deleted requests."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster.aio import wait_until_set
from cluster.errors import StoreUnavailableError
from cluster.identifiers import identifier_age_seconds
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.s3.bucket import Bucket

if TYPE_CHECKING:
    from cluster.mongo.connection import Database
    from cluster.settings import Settings

_MAX_UPLOAD_SECONDS = 3600.0  # an older upload without a commit is dead
logger = logging.getLogger("darkroom.queue_manager")


class Sweeper:
    """Sweeps the stores. When it dies half-way, the next sweep does the rest."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._requests = RequestStore(database)
        self._products = ProductStore(database)
        self._outbox = Outbox(database)
        self._bucket = Bucket(settings)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Begin the next sweep now."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Return when the next sweep is due."""
        await wait_until_set(self._woken, seconds)

    async def sweep(self) -> None:
        """Take one sweep. Raises `StoreUnavailableError`."""
        self._woken.clear()
        for request_id in await self._requests.deleted():
            try:
                await self._remove(request_id)
            except StoreUnavailableError as error:  # the others are removed all the same
                logger.warning("not removed yet: %s", error, extra={"requestId": request_id})
        await self._remove_uncommitted()

    async def _remove(self, request_id: str) -> None:
        """The document of the request goes last, because it says that the rest must go."""
        logger.info("removing a deleted request", extra={"requestId": request_id})
        await asyncio.to_thread(self._bucket.delete_all, f"{request_id}/")
        await self._products.delete(request_id)
        await self._outbox.delete(request_id)
        await self._requests.forget(request_id)

    async def _remove_uncommitted(self) -> None:
        old = [
            request_id
            for request_id in await self._products.request_ids()
            if identifier_age_seconds(request_id) > _MAX_UPLOAD_SECONDS
        ]
        for request_id in set(old) - await self._requests.existing(old):
            logger.info("sweeping an upload that was not committed", extra={"requestId": request_id})
            await self._products.delete(request_id)
