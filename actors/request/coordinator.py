"""The actor that brings admitted requests to their ends, one after another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import ray
import ray.actor
from ray.exceptions import RayError

from actors import registry
from actors.request.lifecycle import RequestLifecycle
from actors.self_fencing import fence_when_cut_off
from actors.wake_ups import WakeUps
from actors.worker.pool import WorkerPool
from cluster.aio import Background
from cluster.errors import StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.mongo.requests import RequestQueue
from cluster.redis.progress import Progress
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from actors.messages import RequestReport, Share
    from cluster.settings import Settings

_RESUME_SECONDS = 1.0
logger = logging.getLogger("darkroom.coordinator")


class RequestCoordinator:
    """One request at a time; one that has ended makes room for the next, because a new process takes a second to start.

    Ray reruns the constructor after a crash. Which request this coordinator had is in MongoDB, like all that it knows.

    Args:
        name: This actor's own.
        settings: The settings.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        log_as_json()
        self._name = name
        self._settings = settings
        self._database = Database(settings)
        self._progress = Progress(settings)
        self._wake_ups = WakeUps(settings)
        self._background = Background()
        self._pool: ActorHandle[Any] | None = None
        self._coordinations: dict[str, RequestLifecycle] = {}  # by request: the one at work, and any that wait for it
        self._work = asyncio.get_running_loop().create_task(self._resume())
        # The first call to an actor asks the head where it is: now, because the head may be away when it counts.
        self._background.start(self._meet_pool())
        self._background.start(self._wake_ups.request_ended())
        self._background.start(fence_when_cut_off(self._database, settings))

    async def take(self, request_id: str, share: Share) -> None:
        """Bring a request to its end, after the one before it; the same again any number of times."""
        if request_id not in self._coordinations:
            self._work = asyncio.create_task(self._run_after(self._work, self._add(request_id)))
        self._coordinations[request_id].set_share(share, at_once=False)

    async def set_share(self, request_id: str, share: Share, *, at_once: bool) -> RequestReport | None:
        """How much of the cluster a request may use from now on.

        Args:
            request_id: The request.
            share: The share.
            at_once: Others wait for a slot, so that what is too much ends early.

        Returns:
            Where it is with the request; None when this coordinator has not got it.
        """
        coordination = self._coordinations.get(request_id)
        return None if coordination is None else coordination.set_share(share, at_once=at_once)

    async def stopped(self, request_id: str, batch_number: int) -> bool:
        """A task asks this when it begins a batch, and is answered when it is to end early: whether in a hurry."""
        coordination = self._coordinations.get(request_id)
        return True if coordination is None else await coordination.stopped(batch_number)

    async def ping(self) -> None:
        """Answers while this process lives."""

    async def leave(self) -> None:
        """End this process, after the request that it has, and free the actor's name."""
        while not self._work.done():  # a request may still come in between
            await asyncio.wait([self._work])
        ray.actor.exit_actor()

    async def _resume(self) -> None:
        """Go on with the request that this coordinator had before a crash."""
        queue = RequestQueue(self._database)
        while True:
            try:
                request_id = await queue.assigned_to(self._name)
                break
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error)
                await asyncio.sleep(_RESUME_SECONDS)
        if request_id is not None and request_id not in self._coordinations:
            await self._run(self._add(request_id))

    async def _meet_pool(self) -> None:
        with contextlib.suppress(RayError):
            await (await self._find_pool()).meet.remote(ray.get_runtime_context().current_actor)

    async def _find_pool(self) -> ActorHandle[Any]:
        """The worker pool, which is started when it is not there."""
        if self._pool is None:
            arguments = (WorkerPool, registry.WORKER_POOL, self._settings, self._settings)
            self._pool = await asyncio.to_thread(registry.start, *arguments)
        return self._pool

    def _add(self, request_id: str) -> RequestLifecycle:
        coordination = RequestLifecycle(request_id, self._settings, self._database, self._progress, self._find_pool)
        self._coordinations[request_id] = coordination
        return coordination

    async def _run_after(self, earlier: asyncio.Task[None], coordination: RequestLifecycle) -> None:
        await asyncio.wait([earlier])
        await self._run(coordination)

    async def _run(self, coordination: RequestLifecycle) -> None:
        await coordination.run()
        del self._coordinations[coordination.request_id]
        self._background.start(self._wake_ups.request_ended())
