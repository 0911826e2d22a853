"""The actor that admits requests and shares the cluster's cores among them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from typing import TYPE_CHECKING, Any

import ray

from actors.coordinators import Coordinators
from cluster.errors import StoreUnavailableError
from cluster.identifiers import identifier_age_seconds
from cluster.mongo.connection import Database
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from cluster.mongo.requests import OpenRequest
    from cluster.settings import Settings

_POLL_SECONDS = 1.0
_BATCHES_PER_CORE = 2  # one runs while the next is on its way
_DRAIN_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0  # after a drain, for the stop that it was for
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
        self._coordinators = Coordinators(settings)
        self._knows_all = False  # until it has asked who is there
        self._getting_ready = False
        self._drained_until = 0.0  # of the loop's clock
        self._wake = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = {
            loop.create_task(self._for_ever(self._look, self._wait_for_notice)),
            loop.create_task(self._for_ever(self._sweep, functools.partial(asyncio.sleep, _SWEEP_SECONDS))),
        }

    @property
    def _draining(self) -> bool:
        # For a time only: a stop that was given up must not leave a queue that admits nothing.
        return asyncio.get_running_loop().time() < self._drained_until

    async def notify(self) -> None:
        """Something was accepted or has ended: look now."""
        self._wake.set()

    async def ping(self) -> None:
        """Answers while this process lives."""

    async def drain(self, timeout_seconds: float) -> int:
        """Begin nothing more and wait for what runs; for a stop of the whole deployment.

        Returns:
            How many images are still in tasks; above 0 only when the time was too short.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        self._drained_until = deadline + _STOP_SECONDS
        while (left := await self._share_cores()) and clock() < deadline:  # noqa: ASYNC110 - what it waits for is in other processes
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        return left

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
        """Take back who is done, find again who is open, admit what there is room for, and share the cores."""
        open_requests = await self._requests.processing()
        self._coordinators.end([each.request_id for each in open_requests])
        for each in open_requests:
            if not self._coordinators.has(each.request_id):
                await self._go_on(each)
        await self._admit(room=self._settings.max_active_requests - len(open_requests))
        # In the background: a coordinator that is starting must not hold up the next request.
        if not self._getting_ready:
            self._getting_ready = True
            self._in_background(self._get_ready())
        self._in_background(self._share_cores())

    async def _admit(self, *, room: int) -> None:
        for _ in range(room):
            if self._draining:
                return
            name = self._coordinators.next_name()
            admitted = await self._requests.admit_next(name)
            if admitted is None:
                return
            logger.info("request admitted", extra={"requestId": admitted})
            await self._coordinators.begin(admitted, name, await self._window())

    async def _go_on(self, request: OpenRequest) -> None:
        window = await self._window()
        if await self._coordinators.go_on(request, window):
            return
        name = self._coordinators.next_name()
        await self._requests.assign(request.request_id, name)
        await self._coordinators.begin(request.request_id, name, window)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _get_ready(self) -> None:
        try:
            if not self._knows_all:
                await self._coordinators.dismiss_strangers()
                self._knows_all = True
            await self._coordinators.keep_ready()
        except Exception:  # the next look tries again
            logger.exception("no coordinator could be made ready")
        finally:
            self._getting_ready = False

    async def _window(self) -> int:
        if self._draining:
            return 0
        # Asks the head node, which may be away for a while: this loop must not wait with it.
        resources = await asyncio.to_thread(ray.cluster_resources)
        cores = float(resources.get("CPU", 1))
        return max(1, math.ceil(_BATCHES_PER_CORE * cores / max(1, self._coordinators.at_work)))

    async def _share_cores(self) -> int:
        """Tell every coordinator its window; returns how many images are in tasks now."""
        return await self._coordinators.set_window(await self._window())

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
