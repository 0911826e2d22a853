"""The actor that admits requests and gives each its share of the cluster."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import ray

from actors import registry
from actors.queue.apply import Effects
from actors.queue.coordinators import Coordinators
from actors.queue.observe import Observer
from actors.queue.plan import plan
from actors.queue.sweep import Sweeper
from actors.registry import Wakeable
from actors.self_fencing import fence_when_cut_off
from actors.watchdog import WATCH_POLL_SECONDS, Watchdog
from cluster.aio import Background, forever
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.mongo.requests import QueueLease, RequestQueue
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from cluster.settings import Settings

_STEP_SECONDS = 1.0
_SWEEP_SECONDS = 600.0
_DRAIN_POLL_SECONDS = 0.2
_DRAIN_RELEASE_SECONDS = 5.0  # before the end of a drain, batches that wait for their sources release their images
_RESUME_AFTER_SECONDS = 60.0  # a drain is for a shutdown, which may take so long
_UNHEALTHY_SECONDS = 20.0  # a step that waits for a store takes up to ten, and MongoDB may elect a primary meanwhile
logger = logging.getLogger("darkroom.queue_manager")


class QueueManager(Wakeable):
    """One for the deployment. Everything that it knows is in MongoDB.

    Ray may start another one while this one is alive and cut off. This one ends itself as soon as it sees that.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        log_as_json()
        database = Database(settings)
        self._now = asyncio.get_running_loop().time
        self._lease = QueueLease(database)
        self._coordinators = Coordinators(settings)
        self._observer = Observer(RequestQueue(database), self._coordinators, max_active=settings.max_active_requests)
        self._effects = Effects(
            settings,
            database,
            self._lease,
            self._coordinators,
            self._observer,
            is_draining=self._is_draining,
            wake_up=self._woken.set,
        )
        self._sweeper = Sweeper(database, settings)
        self._watchdog = Watchdog(settings)
        self._draining_until = 0.0  # on the loop's clock
        self._stepped_at = self._now()
        self._background = Background()
        self._background.start(fence_when_cut_off(database, settings))
        self._background.start(self._run())

    @ray.method
    async def wake_up_sweep(self) -> None:
        """Remove the remains of a request that was deleted, now."""
        self._sweeper.wake()

    @ray.method
    async def is_healthy(self) -> bool:
        """Whether the last step was not long ago. This process may be alive and not reach the stores."""
        return self._now() - self._stepped_at < _UNHEALTHY_SECONDS

    @ray.method
    async def reaches_head(self) -> bool:
        """Whether the head node answers, or has answered lately."""
        return await self._observer.reaches_head()

    @ray.method
    async def drain(self, timeout_seconds: float) -> int:
        """Let no request begin anything, and wait until no image is in a task any more.

        Returns:
            The number of images that are still in tasks. It is above 0 only when the time was too short.
        """
        deadline = self._now() + timeout_seconds
        # It ends by itself: a shutdown that was given up must not leave a queue that admits nothing.
        self._draining_until = deadline + _RESUME_AFTER_SECONDS
        while (left := await self._withdraw_shares(deadline - self._now())) and self._now() < deadline:  # noqa: ASYNC110 - others do the work
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        return left

    def _is_draining(self) -> bool:
        return self._now() < self._draining_until

    async def _withdraw_shares(self, seconds_left: float) -> int:
        """Return how many images are still in tasks, or 1 when MongoDB does not say which requests are open."""
        try:
            open_ids = [each.request_id for each in await self._observer.processing()]
            return await self._coordinators.withdraw_shares(open_ids, make_room=seconds_left < _DRAIN_RELEASE_SECONDS)
        except StoreUnavailableError:
            return 1

    async def _run(self) -> None:
        """Run all loops until a newer queue manager has the lease. Then end this process."""
        try:
            await asyncio.gather(
                forever(self._step, lambda: self._wait_for_wake_up(_STEP_SECONDS), "the queue"),
                forever(self._sweeper.sweep, lambda: self._sweeper.wait(_SWEEP_SECONDS), "the sweep"),
                forever(self._watch, lambda: asyncio.sleep(WATCH_POLL_SECONDS), "the watchdog"),
            )
        except StaleEpochError:
            logger.warning("a newer queue manager has taken over, so this one ends itself")
            os._exit(1)  # to Ray a crash: `exit_actor` would tell the head that the newer one has left

    async def _watch(self) -> None:
        await self._watchdog.check([registry.WORKER_POOL, registry.WEBHOOK, *self._coordinators.names])

    async def _step(self) -> None:
        """Take one step of the queue."""
        # 1. Hold the lease, and mark the requests whose deadline is over.
        await self._observer.measure_capacity()
        await self._lease.claim()
        await self._lease.check()
        await self._lease.stop_overdue()
        to_stop = await self._observer.requests_to_stop()
        is_out_of_date = True
        while is_out_of_date:
            # 2. Observe.
            state = await self._observer.observe(to_stop=to_stop, draining=self._is_draining())
            # 3. Plan.
            actions = plan(state)
            # 4. Apply. Another plan follows if a request was admitted, or does not wait any more.
            is_out_of_date = await self._effects.apply(actions)
            to_stop = []  # the first plan stops as many as may stop now
        self._stepped_at = self._now()
