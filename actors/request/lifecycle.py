"""Bringing one admitted request to its end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors.messages import NO_SHARE, BatchKey, BatchLostError, Loss, RequestReport
from actors.request.closing import Closing
from actors.request.dispatcher import Dispatcher
from actors.request.duplicates import settle_duplicates
from actors.request.in_flight import Sent
from actors.request.reporting import ProgressReporter
from cluster.aio import Background, end
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.counts import ResultCounts
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import ControlSignals, RequestClaims, RequestStore
from cluster.retry import backoff_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ray.actor import ActorHandle

    from actors.messages import Batch, BatchReport, Share
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest
    from cluster.redis.progress import Progress
    from cluster.settings import Settings

_CONTROL_POLL_SECONDS = 0.5
_STOP_SECONDS = 1.0  # for batches to come to an end before their workers are ended
_STORE_RETRY_CAP_SECONDS = 10
_NO_SIGNALS = ControlSignals(stopping=None, wait=False)
logger = logging.getLogger("darkroom.coordinator")


class RequestLifecycle:
    """The work of a coordinator on one request.

    Args:
        request_id: The request; it is `processing` already.
        settings: The settings.
        database: Of the deployment.
        progress: The same.
        find_pool: Finds the actor that runs batches.
    """

    def __init__(
        self,
        request_id: str,
        settings: Settings,
        database: Database,
        progress: Progress,
        find_pool: Callable[[], Awaitable[ActorHandle[Any]]],
    ) -> None:
        self.request_id = request_id
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

    def set_share(self, share: Share, *, at_once: bool) -> RequestReport:
        """How much of the cluster the request may use from now on; `at_once`: what is too much ends early."""
        self._share = share
        if self._dispatcher is None:
            return RequestReport(0, None, 0, 0)
        self._dispatcher.set_share(share, at_once=at_once)
        in_flight = self._dispatcher.in_flight
        return RequestReport(
            in_flight.images, self._dispatcher.demand, self._dispatcher.images_done, in_flight.waiting_seconds
        )

    async def stopped(self, batch_number: int) -> bool:
        """Return when a batch is to end early: whether in a hurry."""
        return True if self._dispatcher is None else await self._dispatcher.in_flight.stopped(batch_number)

    async def run(self) -> None:
        """Return when the request is closed or parked, or a newer coordinator has it; stores may be away meanwhile."""
        attempt = 1
        while True:
            try:
                await self._coordinate()
                break
            except StaleEpochError:
                logger.info("a newer coordinator owns the request", extra={"requestId": self.request_id})
                break
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error, extra={"requestId": self.request_id})
            except Exception:  # a coordinator must not end before its request
                logger.exception("coordination failed; starting over", extra={"requestId": self.request_id})
            await asyncio.sleep(backoff_seconds(attempt, base_seconds=1, cap_seconds=_STORE_RETRY_CAP_SECONDS))
            attempt += 1

    async def _coordinate(self) -> None:
        while (request := await self._claim()) is not None:
            first = BatchKey(request.request_id, request.epoch, next(self._batch_numbers))
            self._background.start(self._end_earlier(first))
            if request.retrying is not None:
                await self._reopen(request)
            await self._products.take_over(request.request_id, request.epoch)
            await self._products.settle(request.request_id, request.epoch)
            if await self._work_on(request):
                return await self._closing.close(request)
            orders = await self._claims.control_signals(request.request_id, request.epoch)
            if orders.stopping is not None:
                return await self._closing.abandon(request, orders.stopping)
            if orders.wait and await self._requeue(request):
                return None
        return None

    async def _claim(self) -> ProcessingRequest | None:
        """The request, claimed once for the life of this process: a second claim could take it from a successor."""
        if self._epoch is not None:
            return await self._claims.claimed(self.request_id, self._epoch)
        request = await self._claims.claim(self.request_id)
        self._epoch = None if request is None else request.epoch
        return request

    async def _end_earlier(self, first: BatchKey) -> None:
        (await self._find_pool()).end_earlier.remote(first)

    async def _reopen(self, request: ProcessingRequest) -> None:
        """Begin a retry: failed images are pending again, and nothing has counted them."""
        await self._products.reopen(request.request_id, request.epoch, request.retrying or [])
        await self._claims.finish_reopening(request.request_id, request.epoch)

    async def _work_on(self, request: ProcessingRequest) -> bool:
        """Do what there is to do; False when it was to end before all was done."""
        self._dispatcher = Dispatcher(
            request,
            requests=self._requests,
            products=self._products,
            send=self._send,
            numbers=self._batch_numbers,
            settings=self._settings,
        )
        self._dispatcher.set_share(self._share, at_once=False)
        beside = [
            asyncio.create_task(
                ProgressReporter(request, self._dispatcher, self._progress, database=self._database).run()
            ),
            asyncio.create_task(self._follow_control_signals(request, self._dispatcher)),
        ]
        try:
            if not await self._dispatcher.run():
                return False
            if not await settle_duplicates(request, self._products, self._progress, until=self._dispatcher.stopped):
                self._dispatcher.progress_missed = True
            return not self._dispatcher.stopped.is_set()
        finally:
            # Before the request is closed: who still counted then would bring back what a retry has opened again.
            await end(*beside)

    async def _follow_control_signals(self, request: ProcessingRequest, dispatcher: Dispatcher) -> None:
        """Stop the work when the request is to end, or to wait, or is not ours any more."""
        while True:
            try:
                orders = await self._claims.control_signals(request.request_id, request.epoch)
            except StaleEpochError:
                return dispatcher.stop()
            except StoreUnavailableError:
                orders = _NO_SIGNALS
            except Exception:  # whoever cancels must be heard at the next look
                logger.exception("orders were not read", extra={"requestId": self.request_id})
                orders = _NO_SIGNALS
            if orders.stopping or orders.wait:
                dispatcher.stop()
            if orders.stopping:  # it may come while batches end because the request is to wait
                await asyncio.sleep(_STOP_SECONDS)
                return dispatcher.in_flight.end_workers()
            await asyncio.sleep(_CONTROL_POLL_SECONDS)

    def _send(self, batch: Batch) -> Sent:
        coordinator = ray.get_runtime_context().current_actor

        async def report() -> BatchReport:
            try:
                pool = await self._find_pool()
                answer: BatchReport | Loss = await pool.run.remote(batch, coordinator)
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
