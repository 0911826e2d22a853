"""The connection from the API to the actors of the deployment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from ray.exceptions import RayActorError, RayError

from actors import registry
from actors.queue.manager import QueueManager
from actors.registry import CachedHandle, WakeUps
from actors.webhook.sender import WebhookSender
from actors.worker.pool import WorkerPool
from cluster.aio import Background
from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from ray.actor import ActorProxy

    from cluster.settings import Settings

T = TypeVar("T")
_WAKE_UP_TIMEOUT_SECONDS = 5
logger = logging.getLogger("darkroom.api")


class Actors:
    """Starts the actors of the deployment, wakes them up and asks for their health."""

    def __init__(self, settings: Settings) -> None:
        self._queue_manager = CachedHandle(lambda: _start_all(settings))
        self._wake_ups = WakeUps(settings)
        self._background = Background()

    def queue_changed(self) -> None:
        """Wake up the queue manager in the background. Start it when it is not there."""
        self._send(self._ask(lambda manager: manager.wake_up.remote()))

    def deleted(self) -> None:
        """Tell the queue manager in the background that a request was deleted."""
        self._send(self._ask(lambda manager: manager.wake_up_sweep.remote()))

    def outbox_changed(self) -> None:
        """Wake up the webhook sender in the background."""
        self._send(self._wake_ups.delivery_due())

    async def ping(self) -> None:
        """Return when the queue manager answers.

        Raises:
            RayError: It is dead or starts again.
            StoreUnavailableError: It is alive but does not reach the stores.
        """
        if not await self._ask(lambda manager: manager.is_healthy.remote()):
            raise StoreUnavailableError("a store", "the queue manager has not reached it for a while")

    async def ping_head(self) -> None:
        """Return when the queue manager has had an answer from Ray's head node lately.

        Raises:
            RayError: The queue manager is dead or starts again.
            StoreUnavailableError: The head node has not answered.
        """
        if not await self._ask(lambda manager: manager.reaches_head.remote()):
            raise StoreUnavailableError("Ray's head", "the queue manager has not heard from it for a while")

    def _send(self, wake_up: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            try:
                await asyncio.wait_for(wake_up, _WAKE_UP_TIMEOUT_SECONDS)
            except (RayError, TimeoutError, OSError) as error:
                logger.warning("a wake-up was lost: %s", type(error).__name__)

        self._background.start(bounded())

    async def _ask(self, call: Callable[[ActorProxy[QueueManager]], Awaitable[T]]) -> T:
        manager = await self._queue_manager.get()
        assert manager is not None  # noqa: S101 - it was started
        try:
            return await call(manager)
        except RayActorError:
            self._queue_manager.forget()  # the next call finds it again, or starts it
            raise


def _start_all(settings: Settings) -> ActorProxy[QueueManager]:
    """Start the actors that a deployment has one of, and return the queue manager."""
    registry.start(WebhookSender, registry.WEBHOOK, settings, settings)
    registry.start(WorkerPool, registry.WORKER_POOL, settings, settings)
    return registry.start(QueueManager, registry.QUEUE_MANAGER, settings, settings)
