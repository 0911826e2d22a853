"""The actor that admits requests and shares the cluster's cores among them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING

from actors import registry
from actors.messages import NO_SHARE, Share
from actors.queue.capacity import Capacity
from actors.queue.coordinators import Coordinators
from actors.queue.fair_queue import choose_preempted, next_in_line
from actors.queue.shares import Claim, divide
from actors.queue.stall_guard import StallGuard
from actors.queue.sweep import Sweeper
from actors.request.closing import Closing
from actors.self_fencing import fence_when_cut_off
from actors.wake_ups import WakeUps
from actors.watchdog import WATCH_SECONDS, Watchdog
from cluster.aio import Background, Question
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.mongo.requests import QueueLease, RequestQueue
from cluster.records import utc_now
from cluster.redis.progress import Progress
from cluster.redis.throughput import Throughput, ThroughputMeter
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.messages import RequestReport
    from cluster.mongo.requests import OpenRequest
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_POLL_SECONDS = 1.0
_FIRST_SHARE = Share(1, 1)  # so that a request begins before its share is known
_ENDING_AT_ONCE = 8
_DRAIN_POLL_SECONDS = 0.2
_GIVE_BACK_SECONDS = 5.0  # the last ones of a drain: what waits for its sources may take minutes
_STOP_SECONDS = 60.0  # after a drain, for the stop that it was for
_SWEEP_SECONDS = 600.0
_LATELY_SECONDS = 20.0  # a look that waits for a store takes up to ten, and MongoDB may choose a primary meanwhile
_HEAD_SECONDS = 0.5  # for its answer, which a look does not need
_HEAD_LATELY_SECONDS = 5.0
logger = logging.getLogger("darkroom.queue_manager")


class QueueManager:
    """One for the deployment. All that it knows is in MongoDB; a notification only saves the wait for the next look.

    Ray may start it again elsewhere while it lives on behind a partition: then it leaves as soon as it sees that.
    """

    def __init__(self, settings: Settings) -> None:
        log_as_json()
        self._settings = settings
        database = Database(settings)
        self._queue = RequestQueue(database)
        self._lease = QueueLease(database)
        self._closing = Closing(database, Progress(settings), settings=settings)
        self._drain = ThroughputMeter(Throughput(settings))
        self._sweeper = Sweeper(database, settings)
        self._coordinators = Coordinators(settings)
        self._watch = Watchdog(settings)
        self._stall_guard = StallGuard.of_cluster(settings)
        self._reports: dict[str, RequestReport] = {}
        self._working_since: dict[str, float] = {}  # of the loop's clock, by request
        self._shared_among: dict[str, int] = {}  # request to priority, at the last time
        self._wake_ups = WakeUps(settings)
        self._capacity = Capacity(1, 0)  # until it has asked
        self._question = Question(Capacity.of_cluster, _HEAD_SECONDS)
        self._knows_all = False  # until it has asked who is there
        self._getting_ready = False
        self._going_on: set[str] = set()  # requests for which somebody is looked for
        self._ending: set[str] = set()  # requests that end here, because they were never admitted
        self._drained_until = 0.0  # of the loop's clock
        self._looked_at = asyncio.get_running_loop().time()
        self._wake = asyncio.Event()
        self._background = Background()
        self._background.start(fence_when_cut_off(database, settings))
        self._background.start(self._for_ever(self._look, self._wait_for_notice))
        self._background.start(self._for_ever(self._watch_others, functools.partial(asyncio.sleep, WATCH_SECONDS)))
        self._background.start(
            self._for_ever(self._sweeper.sweep, functools.partial(self._sweeper.wait, _SWEEP_SECONDS))
        )

    @property
    def _draining(self) -> bool:
        # For a time only: a stop that was given up must not leave a queue that admits nothing.
        return asyncio.get_running_loop().time() < self._drained_until

    async def wake_up(self) -> None:
        """Something was accepted, changed, or has ended: look now."""
        self._wake.set()

    async def wake_up_sweep(self) -> None:
        """Something was deleted: remove what it has left."""
        self._sweeper.wake()

    async def is_healthy(self) -> bool:
        """Whether the queue was looked at lately: this process may live and not reach the stores."""
        return asyncio.get_running_loop().time() - self._looked_at < _LATELY_SECONDS

    async def reaches_head(self) -> bool:
        """Whether the head answers, or has lately: it may be busy."""
        await self._question.answer()
        return self._question.unanswered_seconds < _HEAD_LATELY_SECONDS

    async def ping(self) -> None:
        """Answers while this process lives."""

    async def drain(self, timeout_seconds: float) -> int:
        """Begin nothing more, and wait for what runs or have it given back; for a stop of the whole deployment.

        Returns:
            How many images are still in tasks; above 0 only when the time was too short.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + timeout_seconds
        self._drained_until = deadline + _STOP_SECONDS
        while (left := await self._withdraw_shares(deadline - now())) and now() < deadline:  # noqa: ASYNC110 - of others
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        return left

    async def _withdraw_shares(self, seconds_left: float) -> int:
        """How many images are still in tasks; 1 when MongoDB does not say whose there are."""
        try:
            open_ids = [each.request_id for each in await self._at_work()]
            return await self._coordinators.withdraw_shares(open_ids, at_once=seconds_left < _GIVE_BACK_SECONDS)
        except StoreUnavailableError:
            return 1

    async def _at_work(self) -> list[OpenRequest]:
        return [each for each in await self._queue.processing() if each.request_id not in self._ending]

    async def _for_ever(self, act: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await act()
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error)
            except StaleEpochError:
                logger.warning("a newer queue manager has taken over; this one leaves")
                os._exit(1)  # to Ray a crash: `exit_actor` would tell the head that the newer one has left
            except Exception:  # the queue must not stop at what we did not foresee
                logger.exception("the queue stumbled; trying again")
            await pause()

    async def _watch_others(self) -> None:
        await self._watch.look([registry.WORKER_POOL, registry.WEBHOOK, *self._coordinators.names])

    async def _wait_for_notice(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        self._wake.clear()

    async def _look(self) -> None:
        """Take back who is done, find again who is open, admit what there is room for, and share the cores."""
        self._capacity = await self._question.answer() or self._capacity  # while the head is away, as it was
        await self._lease.claim()
        await self._lease.check()
        await self._lease.stop_overdue()
        await self._end_waiting()
        at_work = await self._at_work()
        open_ids = [each.request_id for each in at_work]
        self._working_since = {each: since for each, since in self._working_since.items() if each in open_ids}
        self._coordinators.end(open_ids, standing=self._capacity.standby_coordinators)
        nobodys = [each for each in at_work if not self._coordinators.has(each.request_id)]
        for each in nobodys[: self._max_active]:  # the next look sees to the rest
            self._go_on_in_background(each)
        if not self._draining:
            await self._admit(at_work)
            if len(at_work) >= self._max_active:
                await self._preempt_for_next(at_work)
        # In the background: a coordinator that is starting must not hold up the next request.
        if not self._getting_ready:
            self._getting_ready = True
            self._background.start(self._get_ready())
        self._background.start(self._share(at_work))
        self._looked_at = asyncio.get_running_loop().time()

    @property
    def _max_active(self) -> int:
        return self._settings.max_active_requests or self._capacity.coordinators

    async def _admit(self, at_work: list[OpenRequest]) -> None:
        """Admit as many as there is room and somebody ready for; they are added to those at work."""
        while len(at_work) < self._max_active and self._coordinators.has_standby:
            running = Counter(each.owner for each in at_work)
            chosen = next_in_line(await self._queue.candidates(), running, utc_now())
            if chosen is None:
                return
            with self._coordinators.reserved() as name:
                admitted = None if name is None else await self._lease.admit(chosen.request_id, name)
                if name is not None and admitted is not None:
                    logger.info("request admitted", extra={"requestId": admitted.request_id})
                    await self._coordinators.begin(admitted.request_id, name, _FIRST_SHARE)
                    at_work.append(admitted)

    async def _preempt_for_next(self, at_work: list[OpenRequest]) -> None:
        """Let one of those at work give way when it is another one's turn; the next look sees who has."""
        if any(each.frees_place for each in at_work):
            return
        running, now = Counter(each.owner for each in at_work), utc_now()
        chosen = next_in_line(await self._queue.candidates(), running, now)
        if chosen is None:
            return
        clock = asyncio.get_running_loop().time()
        seconds = {each: clock - since for each, since in self._working_since.items()}
        if (giving := choose_preempted(chosen, at_work, seconds, now)) is not None:
            logger.info("request gives way", extra={"requestId": giving.request_id})
            await self._lease.preempt(giving.request_id)

    def _go_on_in_background(self, request: OpenRequest) -> None:
        """Once at a time for each: the head node is asked, which may be away, and others must not wait for it."""
        if request.request_id not in self._going_on:
            self._going_on.add(request.request_id)
            self._background.start(self._go_on_once(request))

    async def _go_on_once(self, request: OpenRequest) -> None:
        try:
            await self._go_on(request)
        except StoreUnavailableError as error:
            logger.warning("waiting: %s", error)
        except Exception:  # the next look tries again
            logger.exception("nobody goes on with a request", extra={"requestId": request.request_id})
        finally:
            self._going_on.discard(request.request_id)

    async def _go_on(self, request: OpenRequest) -> None:
        if not await self._coordinators.go_on(request, NO_SHARE):
            with self._coordinators.reserved() as ready:
                name = ready or registry.new_coordinator_name()
                await self._lease.assign(request.request_id, name)
                await self._coordinators.begin(request.request_id, name, NO_SHARE)

    async def _share(self, at_work: list[OpenRequest]) -> None:
        """Tell every coordinator its share."""
        if self._draining:
            return
        claims = {each.request_id: Claim(each.priority, self._demand(each)) for each in at_work}
        shared = divide(claims, self._capacity.slots)
        among = {each.request_id: each.priority for each in at_work}
        # Somebody is new, or was moved up, and is to run: the others make room now. What demands change can wait.
        at_once = any(
            priority > self._shared_among.get(each, -1) and shared[each].running for each, priority in among.items()
        )
        self._shared_among = among
        standings = await self._coordinators.set_shares(shared, at_once=at_once)
        await self._drain.observe({each: standing.images_done for each, standing in standings.items()}, among)
        self._reports = standings
        await self._stall_guard.look(max((each.waiting_seconds for each in standings.values()), default=0))
        clock = asyncio.get_running_loop().time()
        for each, standing in standings.items():
            if standing.demand is not None:
                self._working_since.setdefault(each, clock)

    def _demand(self, request: OpenRequest) -> float:
        standing = self._reports.get(request.request_id)
        if standing is None or standing.demand is None:
            return request.images
        return standing.demand

    async def _end_waiting(self) -> None:
        """End the requests that were cancelled, or came to their deadlines, before they were admitted."""
        while len(self._ending) < _ENDING_AT_ONCE and (request := await self._lease.claim_stopping()) is not None:
            self._ending.add(request.request_id)
            self._background.start(self._end(request))

    async def _end(self, request: ProcessingRequest) -> None:
        assert request.stopping is not None  # noqa: S101 - by what it was found
        try:
            await self._closing.abandon(request, request.stopping)
        finally:
            self._ending.discard(request.request_id)  # if it is still open, a coordinator ends it
        await self._wake_ups.request_ended()

    async def _get_ready(self) -> None:
        try:
            if not self._knows_all:
                await self._coordinators.dismiss_orphans()
                self._knows_all = True
            if await self._coordinators.keep_standby(
                standing=self._capacity.standby_coordinators, at_most=self._max_active
            ):
                self._wake.set()
        except Exception:  # the next look tries again
            logger.exception("no coordinator could be made ready")
        finally:
            self._getting_ready = False
