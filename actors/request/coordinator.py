"""The actor that works on admitted requests, one after another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import ray
import ray.actor
from ray.exceptions import RayError

from actors import registry
from actors.messages import ShareUpdate, Stop
from actors.registry import CachedHandle, Pingable, WakeUps
from actors.request.lifecycle import RequestLifecycle
from actors.self_fencing import fence_when_cut_off
from actors.worker.pool import WorkerPool
from cluster.aio import Background
from cluster.mongo.connection import Database
from cluster.mongo.requests import RequestQueue
from cluster.redis.progress import Progress
from cluster.retry import until_done
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from ray.actor import ActorProxy

    from actors.messages import RequestReport, Share
    from actors.worker.task import BatchOwner
    from cluster.settings import Settings

logger = logging.getLogger("darkroom.coordinator")


class RequestCoordinator(Pingable):
    """Works on one request after another, because a new process would need a second to start.

    Ray reruns the constructor after a crash. MongoDB says which request this coordinator had, like all that it knows.

    Args:
        name: The name of this actor.
        settings: The settings.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        log_as_json()
        self._name = name
        self._settings = settings
        self._self: ActorProxy[BatchOwner] = registry.this_actor(self)
        self._database = Database(settings)
        self._progress = Progress(settings)
        self._wake_ups = WakeUps(settings)
        self._background = Background()
        self._pool = CachedHandle(lambda: registry.start(WorkerPool, registry.WORKER_POOL, settings, settings))
        self._lifecycles: dict[str, RequestLifecycle] = {}  # by request: the one in work, and others that wait for it
        self._work = asyncio.get_running_loop().create_task(self._resume())
        # The first call to an actor asks the head node where it is. The head node may be away when a batch is ready.
        self._background.start(self._connect_to_pool())
        self._background.start(self._wake_ups.request_ended())
        self._background.start(fence_when_cut_off(self._database, settings))

    @ray.method
    async def take(self, request_id: str, share: Share) -> None:
        """Bring a request to its end, after the one before it. The same call again changes its share alone."""
        if request_id not in self._lifecycles:
            self._work = asyncio.create_task(self._run_after(self._work, self._add(request_id)))
        self._lifecycles[request_id].update_share(ShareUpdate(share))

    @ray.method
    async def update_share(self, request_id: str, update: ShareUpdate) -> RequestReport | None:
        """Change the share of a request.

        Returns:
            The progress of the request, or None when this coordinator does not have it.
        """
        lifecycle = self._lifecycles.get(request_id)
        return None if lifecycle is None else lifecycle.update_share(update)

    @ray.method
    async def wait_for_stop(self, request_id: str, batch_number: int) -> Stop:
        """Return when a batch is to end early. Its task asks when it begins."""
        lifecycle = self._lifecycles.get(request_id)
        return Stop.NOW if lifecycle is None else await lifecycle.wait_for_stop(batch_number)

    @ray.method
    async def leave(self) -> None:
        """End this process after the request that it has, and free the actor's name."""
        while not self._work.done():  # a request may still come in between
            await asyncio.wait([self._work])
        ray.actor.exit_actor()

    async def _resume(self) -> None:
        """Go on with the request that this coordinator had before a crash."""
        queue = RequestQueue(self._database)
        request_id = await until_done(
            lambda: queue.assigned_to(self._name), base_seconds=1, cap_seconds=1, name="the coordinator"
        )
        if request_id is not None and request_id not in self._lifecycles:
            await self._run(self._add(request_id))

    async def _connect_to_pool(self) -> None:
        with contextlib.suppress(RayError):
            await (await self._find_pool()).connect.remote(self._self)

    async def _find_pool(self) -> ActorProxy[WorkerPool]:
        """Return the worker pool. It is started when there is none."""
        pool = await self._pool.get()
        assert pool is not None  # noqa: S101 - `registry.start` always returns one
        return pool

    def _add(self, request_id: str) -> RequestLifecycle:
        lifecycle = RequestLifecycle(
            request_id,
            self._settings,
            self._database,
            self._progress,
            coordinator=self._self,
            find_pool=self._find_pool,
        )
        self._lifecycles[request_id] = lifecycle
        return lifecycle

    async def _run_after(self, earlier: asyncio.Task[None], lifecycle: RequestLifecycle) -> None:
        await asyncio.wait([earlier])
        await self._run(lifecycle)

    async def _run(self, lifecycle: RequestLifecycle) -> None:
        await lifecycle.run()
        del self._lifecycles[lifecycle.request_id]
        self._background.start(self._wake_ups.request_ended())
