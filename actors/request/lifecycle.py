"""Brings one admitted request to its end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

from ray.exceptions import RayError

from actors.messages import NO_SHARE, BatchLostError, Loss, RequestReport, ShareUpdate, Stop
from actors.request.closing import Closing
from actors.request.dispatcher import Dispatcher
from actors.request.duplicates import settle_duplicates
from actors.request.in_flight import BatchesInFlight, Sent
from actors.request.reporting import ProgressReporter
from cluster.aio import Background, end
from cluster.errors import StaleEpochError
from cluster.mongo.counts import ResultCounts
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestClaims, RequestStore
from cluster.retry import failures_logged, until_done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ray.actor import ActorProxy

    from actors.messages import Batch, BatchReport
    from actors.worker.pool import WorkerPool
    from actors.worker.task import BatchOwner
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest
    from cluster.redis.progress import Progress
    from cluster.settings import Settings

_CONTROL_POLL_SECONDS = 0.5
_END_WORKERS_AFTER_SECONDS = 1.0  # in which batches that were told to stop may end by themselves
_RESTART_BASE_SECONDS = 1
_RESTART_CAP_SECONDS = 10
logger = logging.getLogger("darkroom.coordinator")


class RequestLifecycle:
    """The work of a coordinator on one request.

    Args:
        request_id: The request. It is `processing` already.
        settings: The settings.
        database: The database of the deployment.
        progress: The progress of all requests.
        coordinator: The actor that does this work. Tasks ask it when to stop.
        find_pool: Finds the actor that runs batches.
    """

    def __init__(
        self,
        request_id: str,
        settings: Settings,
        database: Database,
        progress: Progress,
        *,
        coordinator: ActorProxy[BatchOwner],
        find_pool: Callable[[], Awaitable[ActorProxy[WorkerPool]]],
    ) -> None:
        self.request_id = request_id
        self._coordinator = coordinator
        self._find_pool = find_pool
        self._settings = settings
        self._share = NO_SHARE  # until the queue manager says so
        self._requests = RequestStore(database)
        self._claims = RequestClaims(database)
        self._products = ProductStore(database)
        self._result_counts = ResultCounts(database)
        self._database = database
        self._progress = progress
        self._closing = Closing(database, progress, settings=settings)
        self._dispatcher: Dispatcher | None = None
        self._background = Background()
        self._batch_numbers = itertools.count(1)
        self._epoch: int | None = None  # None until this process has claimed the request

    def update_share(self, update: ShareUpdate) -> RequestReport:
        """Change the share of the request, and return its progress."""
        self._share = update.share
        if self._dispatcher is None:
            return RequestReport(0, None, 0, 0)
        self._dispatcher.update_share(update)
        return self._dispatcher.report

    async def wait_for_stop(self, batch_number: int) -> Stop:
        """Return when a batch is to end early."""
        if self._dispatcher is None:
            return Stop.NOW
        return await self._dispatcher.in_flight.wait_for_stop(batch_number)

    async def run(self) -> None:
        """Return when the request is closed or requeued, or a newer coordinator has it."""
        try:
            await until_done(
                self._coordinate,
                base_seconds=_RESTART_BASE_SECONDS,
                cap_seconds=_RESTART_CAP_SECONDS,
                name="the coordinator",
                request_id=self.request_id,
            )
        except StaleEpochError:
            logger.info("a newer coordinator owns the request", extra={"requestId": self.request_id})

    async def _coordinate(self) -> None:
        while (request := await self._claim()) is not None:
            if request.retrying is not None:
                await self._reopen(request)
            await self._products.take_over(request.request_id, request.epoch)
            await self._products.settle(request.request_id, request.epoch)
            if await self._work_on(request):
                return await self._closing.close(request)
            signals = await self._claims.control_signals(request.request_id, request.epoch)
            if signals.stopping is not None:
                return await self._closing.abandon(request, signals.stopping)
            if signals.wait and await self._requeue(request):
                return None
        return None

    async def _claim(self) -> ProcessingRequest | None:
        """Claim the request once for the life of this process. A second claim could take it from a successor."""
        if self._epoch is not None:
            return await self._claims.claimed(self.request_id, self._epoch)
        request = await self._claims.claim(self.request_id)
        self._epoch = None if request is None else request.epoch
        return request

    async def _reopen(self, request: ProcessingRequest) -> None:
        """Begin a retry. Its failed images are pending again, and nothing has counted them."""
        await self._products.reopen(request.request_id, request.epoch, request.retrying or [])
        await self._claims.finish_reopening(request.request_id, request.epoch)

    async def _work_on(self, request: ProcessingRequest) -> bool:
        """Do the images of the request. Returns False when the work was stopped before its end."""
        in_flight = BatchesInFlight(self._send)
        reporter = ProgressReporter(request, in_flight, self._progress, database=self._database)
        dispatcher = self._dispatcher = Dispatcher(
            request,
            in_flight,
            requests=self._requests,
            products=self._products,
            request_rebuild=reporter.request_rebuild,
            numbers=self._batch_numbers,
            settings=self._settings,
        )
        dispatcher.update_share(ShareUpdate(self._share))
        beside = [
            asyncio.create_task(reporter.run()),
            asyncio.create_task(self._follow_control_signals(request, dispatcher)),
        ]
        try:
            await dispatcher.run()
            await settle_duplicates(
                request,
                self._products,
                self._progress,
                request_rebuild=reporter.request_rebuild,
                until=dispatcher.stopped,
            )
            return not dispatcher.stopped.is_set()
        finally:
            # Before the request is closed: a late count would bring back images that a retry has opened again.
            await end(*beside)

    async def _follow_control_signals(self, request: ProcessingRequest, dispatcher: Dispatcher) -> None:
        """Stop the work when the request is to end or to wait, or belongs to a newer coordinator."""
        try:
            while True:
                with failures_logged(
                    "the reader of control signals", then="it is tried again", request_id=self.request_id
                ):
                    signals = await self._claims.control_signals(request.request_id, request.epoch)
                    if signals.stopping or signals.wait:
                        dispatcher.stop()
                    if signals.stopping:  # it may come while batches end because the request is to wait
                        break
                await asyncio.sleep(_CONTROL_POLL_SECONDS)
        except StaleEpochError:
            dispatcher.stop()
            return
        await asyncio.sleep(_END_WORKERS_AFTER_SECONDS)
        dispatcher.in_flight.end_workers()

    def _send(self, batch: Batch) -> Sent:
        async def report() -> BatchReport:
            try:
                pool = await self._find_pool()
                answer = await pool.run.remote(batch, self._coordinator)
            except (RayError, OSError, ValueError) as error:  # the last of a name that is being made or given up
                raise BatchLostError(Loss.OTHER) from error
            if isinstance(answer, Loss):
                raise BatchLostError(answer)
            return answer

        async def end_worker() -> None:
            (await self._find_pool()).end_worker.remote(batch.key)

        return Sent(report(), lambda: self._background.start(end_worker()))

    async def _requeue(self, request: ProcessingRequest) -> bool:
        counts, byte_counts = await self._result_counts.count(request.request_id)
        return await self._claims.requeue(request.request_id, request.epoch, counts, byte_counts)
