"""What the routes work with: the stores, the secrets, and the way to the actors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import stamina
from fastapi import Request
from ray.exceptions import RayActorError, RayError

from actors.wake_ups import WakeUps
from cluster.aio import Background, FreshCalls, SharedCall
from cluster.errors import RefusedError, StoreUnavailableError
from cluster.mongo.api_keys import ApiKeyStore
from cluster.mongo.connection import Database
from cluster.mongo.counts import ResultCounts
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestControl, RequestQueue, RequestStore
from cluster.records import ApiKey, ProcessingRequest, Scope
from cluster.redis.progress import Progress
from cluster.redis.throughput import Throughput
from cluster.s3.bucket import Bucket
from cluster.secrets import Secrets
from deployments.api.actors import start_system_actors
from deployments.api.health_check import HealthCheck
from deployments.api.quota import Quota

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from ray.actor import ActorHandle

    from cluster.settings import Settings

_NOTICE_SECONDS = 5
_ANSWER_SECONDS = 5.0  # of a store, to an upload
logger = logging.getLogger("darkroom.api")


class Actors:
    """The way to the actors of the deployment. What counts is in MongoDB, and they look; a notice only saves time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue_manager: ActorHandle[Any] | None = None
        self._others = WakeUps(settings)
        self._start = SharedCall(self._started)
        self._background = Background()

    def queue_changed(self) -> None:
        """Tell the queue manager, in the background, that there is work; start it when it is not there."""
        self._send(self._ask("wake_up"))

    def deleted(self) -> None:
        """Tell the queue manager, in the background, that a request was deleted."""
        self._send(self._ask("wake_up_sweep"))

    def outbox_changed(self) -> None:
        """Tell the webhook sender, in the background, that a delivery is due."""
        self._send(self._others.delivery_due())

    async def ping(self) -> None:
        """Return when the queue manager answers.

        Raises:
            RayError: It is dead, or being restarted.
            StoreUnavailableError: It lives where it does not reach the stores.
        """
        if not await self._ask("is_healthy"):
            raise StoreUnavailableError("a store", "the queue manager has not reached it for a while")

    async def ping_head(self) -> None:
        """Return when the queue manager has heard from Ray's head lately.

        Raises:
            RayError: The queue manager is dead, or being restarted.
            StoreUnavailableError: It has not.
        """
        if not await self._ask("reaches_head"):
            raise StoreUnavailableError("Ray's head", "the queue manager has not heard from it for a while")

    def _send(self, notice: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            try:
                await asyncio.wait_for(notice, _NOTICE_SECONDS)
            except (RayError, TimeoutError, OSError) as error:
                logger.warning("an actor was not notified: %s", type(error).__name__)

        self._background.start(bounded())

    async def _started(self) -> ActorHandle[Any]:
        return await asyncio.to_thread(start_system_actors, self._settings)

    async def _ask(self, method: Literal["is_healthy", "reaches_head", "wake_up", "wake_up_sweep"]) -> Any:  # noqa: ANN401 - its answer
        # The handle is kept, because finding an actor asks the head node.
        if self._queue_manager is None:
            self._queue_manager = await self._start()
        try:
            return await getattr(self._queue_manager, method).remote()
        except RayActorError:
            self._queue_manager = None  # the next call finds it again, or starts it
            raise


class Services:
    """Everything that a replica holds for its lifetime."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.requests = RequestStore(self.database)
        self.products = ProductStore(self.database)
        self.result_counts = ResultCounts(self.database)
        self.counted = FreshCalls(self.result_counts.count)  # of a large request it is too much for everybody who asks
        self.outbox = Outbox(self.database)
        self.keys = ApiKeyStore(self.database)
        self.control = RequestControl(self.database)
        self.progress = Progress(settings)
        self._throughput = Throughput(settings)
        self.quota = Quota(RequestQueue(self.database), self._throughput, settings)
        self.bucket = Bucket(settings)
        self.ping_bucket = SharedCall(self._ping_bucket)
        seconds = min(_ANSWER_SECONDS, settings.store_timeout_seconds)
        self._needed = (
            HealthCheck("redis", self.progress.ping, timeout_seconds=seconds),
            HealthCheck("s3", self.ping_bucket, timeout_seconds=seconds),
        )
        self.secrets = Secrets(settings)
        self.actors = Actors(settings)
        self.unprepared: str | None = "preparing"
        """Why nothing is accepted yet: what must be made before is not there; None when it is."""

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
            await self._throughput.close()
            await asyncio.to_thread(self.bucket.close)

    async def _ping_bucket(self) -> None:
        await asyncio.to_thread(self.bucket.ping)

    async def _prepare(self) -> None:
        async for attempt in stamina.retry_context(on=Exception, attempts=None, timeout=None):
            with attempt:
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
            self.unprepared = "the stores cannot be prepared; the log says why"
            raise

    async def require_stores(self) -> None:
        """Nothing is accepted without the indexes that keep it unique and the bucket, nor while Redis or S3 is away.

        Whether MongoDB is there, the upload itself will tell.

        Raises:
            StoreUnavailableError: They are not, or Redis or S3 does not answer.
        """
        if self.unprepared is not None:
            raise StoreUnavailableError("a store", self.unprepared)
        await asyncio.gather(*(store.check() for store in self._needed))


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


async def owned_request(services: Services, request_id: str, key: ApiKey) -> ProcessingRequest:
    """A request of this key.

    Raises:
        RefusedError: There is none, or it is another key's; the two look the same.
    """
    request = await services.requests.get(request_id, owner=key.owner)
    if request is None:
        raise RefusedError(404, "request_not_found", "There is no such request.")
    return request


def _key_with(scope: Scope, request: Request) -> ApiKey:
    key: ApiKey = request.state.key
    if scope not in key.scopes:
        raise RefusedError(403, "missing_scope", f"This API key does not have the scope `{scope}`.")
    return key
