"""The actor that admits requests and shares the cluster's cores among them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError

from actors import registry
from actors.coordinator import RequestCoordinator
from cluster.errors import StoreUnavailableError
from cluster.identifiers import identifier_age_seconds
from cluster.mongo.connection import Database
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ray.actor import ActorHandle

    from cluster.settings import Settings

_POLL_SECONDS = 1.0
_BATCHES_PER_CORE = 2  # one runs while the next is on its way
_SWEEP_SECONDS = 600.0
_UPLOAD_SECONDS = 3600.0  # an upload that has taken longer than this is dead
logger = logging.getLogger("darkroom.queue_manager")


class QueueManager:
    """One for the deployment. All that it knows is in MongoDB; a notification only saves the wait for the next look."""

    def __init__(self, settings: Settings) -> None:
        log_as_json()
        self._settings = settings
        database = Database(settings)
        self._requests = RequestStore(database)
        self._products = ProductStore(database)
        self._live: dict[str, ActorHandle[Any]] = {}
        self._wake = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._for_ever(self._look, self._wait_for_notice)),
            loop.create_task(self._for_ever(self._sweep, functools.partial(asyncio.sleep, _SWEEP_SECONDS))),
        }

    async def notify(self) -> None:
        """Something was accepted or has ended: look now."""
        self._wake.set()

    async def ping(self) -> int:
        """How many requests are being processed."""
        return len(self._live)

    async def _for_ever(self, act: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await act()
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error)
            except Exception:  # the queue must not stop at what we did not foresee
                logger.exception("the queue stumbled; trying again")
            await pause()

    async def _wait_for_notice(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        self._wake.clear()

    async def _look(self) -> None:
        """Forget what has ended, adopt what is open, admit what there is room for, and share the cores."""
        open_ids = await self._requests.processing_ids()
        for request_id in self._live.keys() - set(open_ids):
            del self._live[request_id]
        for request_id in open_ids:
            if request_id not in self._live:
                self._start(request_id)
        while len(self._live) < self._settings.max_active_requests:
            admitted = await self._requests.admit_next()
            if admitted is None:
                break
            logger.info("request admitted", extra={"requestId": admitted})
            self._start(admitted)
        self._share_cores()

    def _start(self, request_id: str) -> None:
        name = registry.coordinator_name(request_id)
        self._live[request_id] = registry.start(
            RequestCoordinator, name, self._settings, request_id, self._window(), self._settings
        )

    def _window(self) -> int:
        cores = int(ray.cluster_resources().get("CPU", 1))
        return max(1, math.ceil(_BATCHES_PER_CORE * cores / max(1, len(self._live))))

    def _share_cores(self) -> None:
        window = self._window()
        for request_id, coordinator in self._live.items():
            task = asyncio.create_task(self._push_window(request_id, coordinator, window))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _push_window(self, request_id: str, coordinator: ActorHandle[Any], window: int) -> None:
        try:
            await coordinator.set_window.remote(window)
        except RayActorError:
            # It has left, or is gone for good, or is being restarted: the next look finds out by MongoDB.
            self._live.pop(request_id, None)

    async def _sweep(self) -> None:
        """Remove the products of uploads that died before their commit."""
        old = [
            request_id
            for request_id in await self._products.request_ids()
            if identifier_age_seconds(request_id) > _UPLOAD_SECONDS
        ]
        for request_id in set(old) - await self._requests.existing(old):
            logger.info("sweeping an upload that was not committed", extra={"requestId": request_id})
            await self._products.delete(request_id)
