"""The effects of a plan: writes to MongoDB under the lease, and calls to the coordinators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from actors import registry
from actors.messages import NO_SHARE, Share
from actors.queue import nodes
from actors.queue.plan import Admit, Assign, DismissOrphans, Preempt, SetShares, StartStandby, Stop, Unassign
from actors.queue.stall_guard import StallGuard
from actors.registry import Pingable, WakeUps
from actors.request.closing import Closing
from cluster.aio import Background
from cluster.errors import StaleEpochError
from cluster.redis.progress import Progress
from cluster.redis.throughput import Throughput, ThroughputMeter
from cluster.retry import failures_logged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from actors.queue.coordinators import Coordinators
    from actors.queue.observe import Observer
    from actors.queue.plan import Action
    from cluster.mongo.connection import Database
    from cluster.mongo.requests import OpenRequest, QueueLease
    from cluster.settings import Settings

_FIRST_SHARE = Share(1, 1)  # a request begins before its share is known
logger = logging.getLogger("darkroom.queue_manager")


class Effects:
    """Carries out the actions of a plan. Those that ask the head node run in the background, since it may be away.

    Args:
        settings: The settings.
        database: The connection.
        lease: The right to write.
        coordinators: The coordinators.
        observer: Takes in the reports of the coordinators.
        is_draining: Whether no request may begin anything now.
        wake_up: Makes the queue manager take its next step now.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        lease: QueueLease,
        coordinators: Coordinators,
        observer: Observer,
        *,
        is_draining: Callable[[], bool],
        wake_up: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._coordinators = coordinators
        self._observer = observer
        self._is_draining = is_draining
        self._wake_up = wake_up
        self._closing = Closing(database, Progress(settings), settings=settings)
        self._wake_ups = WakeUps(settings)
        self._throughput = ThroughputMeter(Throughput(settings))
        self._stall_guard = _stall_guard(settings)
        self._background = Background()

    async def apply(self, actions: Iterable[Action]) -> bool:
        """Carry out actions in their order.

        Returns:
            Whether another plan is needed: a request was admitted or does not wait any more. The rest of this plan is
            out of date then, and is left out.

        Raises:
            StaleEpochError: A newer queue manager has the lease.
            StoreUnavailableError: MongoDB does not answer.
        """
        for action in actions:
            if not isinstance(action, Admit):
                await self._carry_out(action)
            elif await self._admit(action.request_id):
                return True
        return False

    async def _carry_out(self, action: Action) -> None:
        match action:
            case Preempt(request_id):
                logger.info("request preempted", extra={"requestId": request_id})
                await self._lease.preempt(request_id)
            case Stop(request_id):
                await self._stop(request_id)
            case Unassign(request_id, stands_by):
                self._coordinators.unassign(request_id, stands_by=stands_by)
            case Assign(request):
                self._in_background(f"assign {request.request_id}", self._assign, request)
            case SetShares():
                self._observer.shared_before = action.priorities
                self._background.start(self._set_shares(action))
            case StartStandby(coordinators):
                self._in_background("start coordinators", self._start_standby, coordinators)
            case DismissOrphans():
                self._in_background("dismiss coordinators", self._dismiss_orphans)

    async def _admit(self, request_id: str) -> bool:
        """Admit a request. Return False when no coordinator stands by any more, so that it still waits."""
        with self._coordinators.reserved() as name:
            if name is None:
                return False
            if await self._lease.admit(request_id, name) is not None:
                logger.info("request admitted", extra={"requestId": request_id})
                share = NO_SHARE if self._is_draining() else _FIRST_SHARE
                await self._coordinators.assign(request_id, name, share)
            return True

    async def _assign(self, request: OpenRequest) -> None:
        if not await self._coordinators.resume(request, NO_SHARE):
            with self._coordinators.reserved() as standby:
                name = standby or registry.new_coordinator_name()
                await self._lease.assign(request.request_id, name)
                await self._coordinators.assign(request.request_id, name, NO_SHARE)

    async def _stop(self, request_id: str) -> None:
        request = await self._lease.claim_stopping(request_id)
        if request is None or request.stopping is None:
            return
        reason = request.stopping

        async def close() -> None:
            try:
                await self._closing.abandon(request, reason)
            finally:
                self._observer.stopping.discard(request_id)  # if it is still open, a coordinator closes it
            await self._wake_ups.request_ended()

        self._observer.stopping.add(request_id)
        self._background.start(close())

    async def _set_shares(self, action: SetShares) -> None:
        if self._is_draining():  # the drain has begun after the plan was made, and has withdrawn all shares
            return
        reports = await self._coordinators.set_shares(action.shares, make_room=action.make_room)
        self._observer.take_in(reports)
        done = {request_id: report.images_done for request_id, report in reports.items()}
        await self._throughput.observe(done, action.shares)
        await self._stall_guard.check(max((each.waiting_seconds for each in reports.values()), default=0))

    async def _start_standby(self, count: int) -> None:
        await self._coordinators.start_standby(count)
        self._wake_up()

    async def _dismiss_orphans(self) -> None:
        await self._coordinators.dismiss_orphans()
        self._wake_up()

    def _in_background(self, name: str, act: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Begin an action unless the same one still runs. When it fails, a later step plans it again."""

        async def logged() -> None:
            # When a newer queue manager has the lease, the next step ends this process.
            with contextlib.suppress(StaleEpochError), failures_logged(name, then="it is tried again"):
                await act(*arguments)

        self._background.start_once(name, logged)


def _stall_guard(settings: Settings) -> StallGuard:
    async def end_pool() -> None:
        pool = await asyncio.to_thread(registry.find, Pingable, registry.WORKER_POOL, settings)
        if pool is not None:
            await asyncio.to_thread(registry.kill, pool, restart=True)

    return StallGuard(nodes.free_cores, end_pool)
