"""What the routes work with: the stores, the secrets, and the way to the actors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import stamina
from fastapi import Request
from ray.exceptions import RayError

from actors import registry
from actors.system import start_system_actors
from cluster.bucket import Bucket
from cluster.errors import RefusedError, StoreUnavailableError
from cluster.mongo.api_keys import ApiKeyStore
from cluster.mongo.connection import Database
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.progress import Progress
from cluster.records import ApiKey, Scope
from cluster.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.settings import Settings

_NOTICE_SECONDS = 2
logger = logging.getLogger("darkroom.api")


class Actors:
    """The way to the actors of the deployment. All of it is best effort: what counts is in MongoDB, and they look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def queue_changed(self) -> None:
        """Tell the queue manager that there is work, and start it when it is not there."""
        try:
            manager = await asyncio.to_thread(start_system_actors, self._settings)
            await asyncio.wait_for(manager.notify.remote(), _NOTICE_SECONDS)
        except (RayError, TimeoutError, OSError) as error:
            logger.warning("the queue manager was not notified: %s", error)

    async def outbox_changed(self) -> None:
        """Tell the webhook sender that a delivery is due."""
        sender = await asyncio.to_thread(registry.find, registry.WEBHOOK, self._settings)
        if sender is not None:
            sender.notify.remote()

    async def ping(self) -> None:
        """Return when the queue manager answers.

        Raises:
            RuntimeError: It is not there.
            RayError: It is dead, or being restarted.
        """
        manager: Any = await asyncio.to_thread(registry.find, registry.QUEUE_MANAGER, self._settings)
        if manager is None:
            await asyncio.to_thread(start_system_actors, self._settings)
            raise RuntimeError("it was not running; it is being started")
        await manager.ping.remote()


class Services:
    """Everything that a replica holds for its lifetime."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.requests = RequestStore(self.database)
        self.products = ProductStore(self.database)
        self.outbox = Outbox(self.database)
        self.keys = ApiKeyStore(self.database)
        self.progress = Progress(settings)
        self.bucket = Bucket(settings)
        self.secrets = Secrets(settings)
        self.actors = Actors(settings)
        self.prepared = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Prepare the stores in the background, however long they are away, and close all at the end."""
        preparation = asyncio.create_task(self._prepare())
        try:
            yield
        finally:
            preparation.cancel()
            await self.database.close()
            await self.progress.close()
            await asyncio.to_thread(self.bucket.close)

    async def _prepare(self) -> None:
        async for attempt in stamina.retry_context(on=StoreUnavailableError, attempts=None, timeout=None):
            with attempt:
                await self.database.ensure_indexes()
                await asyncio.to_thread(self.bucket.ensure)
        self.prepared = True
        await self.actors.queue_changed()

    def require_prepared(self) -> None:
        """Nothing is accepted before the indexes that keep it unique are there.

        Raises:
            StoreUnavailableError: They are not.
        """
        if not self.prepared:
            raise StoreUnavailableError("mongodb", "the indexes are not there yet")


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


def reader(request: Request) -> ApiKey:
    """The caller's key, which may read.

    Raises:
        RefusedError: It may not.
    """
    return _key_with(Scope.READ, request)


def writer(request: Request) -> ApiKey:
    """The caller's key, which may upload and change.

    Raises:
        RefusedError: It may not.
    """
    return _key_with(Scope.WRITE, request)


def _key_with(scope: Scope, request: Request) -> ApiKey:
    key: ApiKey = request.state.key
    if scope not in key.scopes:
        raise RefusedError(403, "missing_scope", f"This API key does not have the scope `{scope}`.")
    return key
