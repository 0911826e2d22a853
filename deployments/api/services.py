"""The services behind the routes: the stores, the secrets and the actors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import Request

from cluster.aio import FreshCalls, SingleFlight
from cluster.errors import RefusedError, StoreUnavailableError
from cluster.mongo.api_keys import ApiKeyStore
from cluster.mongo.connection import Database
from cluster.mongo.counts import ResultCounts
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestControl, RequestQueue, RequestStore
from cluster.redis.progress import Progress
from cluster.redis.throughput import Throughput
from cluster.retry import until_it_succeeds
from cluster.s3.bucket import Bucket
from cluster.secrets import Secrets
from deployments.api.actors import Actors
from deployments.api.health_check import HealthCheck
from deployments.api.quota import Quota
from deployments.api.upload_places import UploadPlaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.records import ApiKey, ProcessingRequest
    from cluster.settings import Settings

_MAX_HEALTH_CHECK_SECONDS = 5.0
logger = logging.getLogger("darkroom.api")


class Services:
    """The connections and caches that a replica holds for its lifetime."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.requests = RequestStore(self.database)
        self.products = ProductStore(self.database)
        self.result_counts = ResultCounts(self.database)
        self.counted = FreshCalls(self.result_counts.count)  # shared, because a count of a large request is expensive
        self.outbox = Outbox(self.database)
        self.keys = ApiKeyStore(self.database)
        self.control = RequestControl(self.database)
        self.progress = Progress(settings)
        self._throughput = Throughput(settings)
        self.quota = Quota(RequestQueue(self.database), self._throughput, settings)
        self.bucket = Bucket(settings)
        self.ping_bucket = SingleFlight(self._ping_bucket)
        seconds = min(_MAX_HEALTH_CHECK_SECONDS, settings.store_timeout_seconds)
        self._needed = (
            HealthCheck("redis", self.progress.ping, timeout_seconds=seconds),
            HealthCheck("s3", self.ping_bucket, timeout_seconds=seconds),
        )
        self.upload_places = UploadPlaces()
        self.secrets = Secrets(settings)
        self.actors = Actors(settings)
        self.unprepared: str | None = "the stores are being prepared"
        """The reason why nothing is accepted yet, or None when the indexes and the bucket are there."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Prepare the stores in the background, however long they are away. Close all connections at the end."""
        preparation = asyncio.create_task(self._prepare())
        try:
            yield
        finally:
            preparation.cancel()
            await self.database.close()
            await self.progress.close()
            await self._throughput.close()
            await asyncio.to_thread(self.bucket.close)

    async def _ping_bucket(self) -> None:
        await asyncio.to_thread(self.bucket.ping)

    async def _prepare(self) -> None:
        async for preparing in until_it_succeeds():
            with preparing:
                await self._make_indexes_and_bucket()
        self.unprepared = None
        self.actors.queue_changed()

    async def _make_indexes_and_bucket(self) -> None:
        try:
            await self.database.ensure_indexes()
            await asyncio.to_thread(self.bucket.ensure)
        except StoreUnavailableError as error:
            self.unprepared = str(error)
            raise
        except Exception:
            logger.exception("the stores cannot be prepared")
            self.unprepared = "the stores cannot be prepared, and the log has the reason"
            raise

    async def require_stores(self) -> None:
        """Return when an upload may be accepted: indexes and bucket are there, and Redis and S3 answer.

        MongoDB is not checked here, because the upload itself writes to it.

        Raises:
            StoreUnavailableError: Indexes or bucket are missing, or Redis or S3 does not answer.
        """
        if self.unprepared is not None:
            raise StoreUnavailableError("a store", self.unprepared)
        await asyncio.gather(*(store.check() for store in self._needed))


def services_of(request: Request) -> Services:
    """Return the services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


def caller(request: Request) -> ApiKey:
    """Return the caller's key. `Authentication` has checked its scope."""
    key: ApiKey = request.state.key
    return key


async def owned_request(services: Services, request_id: str, key: ApiKey) -> ProcessingRequest:
    """Return a request of this key.

    Raises:
        RefusedError: There is no such request, or it belongs to another key. Both get the same answer.
    """
    request = await services.requests.get(request_id, owner=key.owner)
    if request is None:
        raise RefusedError(
            404, "request_not_found", "This API key has no request of this id. Check the id and the key."
        )
    return request
