"""Keeps a request's share full: batches go to tasks, reports come back, until every image is terminal."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from actors.messages import BATCHES_PER_TASK_SLOT, Batch, BatchLostError, Recorded, RequestReport, failed_image
from actors.request.batch_size import BatchSize
from actors.request.feed import Feed
from actors.request.image_queue import ImageQueue
from actors.request.pacing import Pacing
from actors.request.retry_policy import Next, after_loss, after_report, screen
from cluster.aio import end, wait_until_set
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.products import FencedWrite, ImageResult
from cluster.retry import backoff_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.messages import BatchReport, Loss, ShareUpdate, WorkItem
    from actors.request.in_flight import BatchesInFlight, BatchInFlight
    from actors.request.retry_policy import Failed
    from cluster.mongo.products import ProductStore
    from cluster.mongo.requests import RequestStore
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_BACKOFF_BASE_SECONDS = 1
_BACKOFF_CAP_SECONDS = 10
_MAX_IO_BOUND_IMAGES = 64  # in one batch
_DEMAND_WHILE_READING = 100_000  # task slots that a request could use while it has images that were not read
logger = logging.getLogger("darkroom.dispatcher")


class Dispatcher:
    """The work on one request.

    Each turn observes, plans and applies. It observes the reports that came back and the room in the share. Pure rules
    plan: `retry_policy` the next step of each image, `Pacing` when the next batch is sent. The dispatcher applies that
    to the queue, the stores and the tasks.

    Args:
        request: The request, as this coordinator has claimed it.
        in_flight: The batches of the request in tasks, none yet.
        requests: Tells whether a newer coordinator has claimed the request.
        products: The images to do, and the results that no task could record.
        request_rebuild: Called when Redis may have missed results.
        numbers: The numbers of the batches. None comes twice in an epoch.
        settings: The settings.
    """

    def __init__(
        self,
        request: ProcessingRequest,
        in_flight: BatchesInFlight,
        *,
        requests: RequestStore,
        products: ProductStore,
        request_rebuild: Callable[[], None],
        numbers: Iterator[int],
        settings: Settings,
    ) -> None:
        self._request = request
        self._requests = requests
        self._products = products
        self._request_rebuild = request_rebuild
        self._numbers = numbers
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self._queue = ImageQueue(self._now)
        self._feed = Feed(products, request.request_id, self._queue)
        self._pacing = Pacing(BatchSize(settings))
        self._woken = asyncio.Event()
        self._backoffs = 0
        self._images_done = 0
        self.in_flight = in_flight
        self.stopped = asyncio.Event()

    @property
    def report(self) -> RequestReport:
        """The progress of this coordinator."""
        waiting = _DEMAND_WHILE_READING if self._feed.has_more else self._queue.ready
        demand = max(math.ceil(self.in_flight.cpu_batches / BATCHES_PER_TASK_SLOT), waiting)
        return RequestReport(self.in_flight.images, demand, self._images_done, self.in_flight.waiting_seconds)

    def update_share(self, update: ShareUpdate) -> None:
        """Change how much of the cluster the request may use."""
        self._pacing.change_share(update.share)
        if update.make_room and self.in_flight.make_room(update.share):
            self._pacing.let_others_send(self._now())
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing more, and let all batches end now. `run` returns when they have ended."""
        self.stopped.set()
        self.in_flight.stop_now()
        self._woken.set()

    async def run(self) -> None:
        """Return when every image is terminal, or when `stop` was called and all batches have ended.

        Raises:
            StaleEpochError: A newer coordinator has claimed the request.
        """
        try:
            while not self._is_done():
                await self._turn()
        finally:
            self.in_flight.stop_now()
            await end(*self.in_flight.reports)

    def _is_done(self) -> bool:
        return not self.in_flight and (self.stopped.is_set() or self._feed.is_exhausted)

    async def _turn(self) -> None:
        """Send batches while there is room, and take in the reports that came back."""
        try:
            if not self.stopped.is_set():
                await self._fill_share()
            if self._is_done():
                return
            await self._wait()
            self.in_flight.end_overdue(self._settings.batch_timeout_seconds)
            await self._take_in_reports()
            self._backoffs = 0
        except StoreUnavailableError as error:
            await self._back_off(error)

    async def _fill_share(self) -> None:
        while self._pacing.may_send(self.in_flight.cpu_batches, self._now()):
            items = await self._next_items()
            if not items:
                break
            self._send(items)
        while self._may_begin and self._queue.ready_io_bound and not self.in_flight.has_io_bound:
            items = await self._screen(self._queue.take_io_bound(_MAX_IO_BOUND_IMAGES))
            if items:
                self._send(items, is_io_bound=True)

    @property
    def _may_begin(self) -> bool:
        return self._pacing.share.max_batches > 0 and not self.stopped.is_set()

    async def _next_items(self) -> tuple[WorkItem, ...]:
        while True:
            await self._feed.refill(self._pacing.images_to_read)
            if not self._may_begin:  # the share may have changed meanwhile
                return ()
            items = await self._screen(self._queue.take(self._pacing.next_images(self._queue.ready)))
            # The hosts of all these images may be paused, and those of later images not.
            if items or not (self._queue.ready or self._feed.has_more):
                return items

    async def _screen(self, items: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
        """Return the images that may be sent. The others are put back or fail."""
        screened = screen(items, max_attempts=self._settings.max_attempts)
        try:
            await self._apply(screened.next)
        except StoreUnavailableError:
            # A batch with an image that has failed already is refused, and its images are looked up again.
            self._queue.put_back(items)
            raise
        if not self._may_begin:  # the share may have changed meanwhile
            self._queue.put_back(screened.to_send)
            return ()
        return screened.to_send

    def _send(self, items: tuple[WorkItem, ...], *, is_io_bound: bool = False) -> None:
        request = self._request
        cluster_slots = self._pacing.share.cluster_slots
        self.in_flight.send(
            Batch(
                request_id=request.request_id,
                owner=request.owner,
                epoch=request.epoch,
                number=next(self._numbers),
                options=request.options,
                items=items,
                is_io_bound=is_io_bound,
                host_downloads=max(1, int(self._settings.max_downloads_per_host / cluster_slots)),
            )
        )

    async def _wait(self) -> None:
        """Return after a report or a change, or when the next batch is due or a batch may be overdue."""
        self._woken.clear()
        due = self._pacing.seconds_to_next(
            self.in_flight.cpu_batches, self._now(), next_image=self._queue.seconds_to_next
        )
        if self.in_flight:
            overdue = self._settings.batch_timeout_seconds / 4
            due = overdue if due is None else min(due, overdue)
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait([*self.in_flight.reports, woken], timeout=due, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()

    async def _take_in_reports(self) -> None:
        backs_off = False
        for sent in self.in_flight.reported:
            step = await self._next_step(sent)
            await self._apply(step)
            self.in_flight.remove(sent)
            backs_off |= step.backs_off
        if backs_off:
            raise StoreUnavailableError("a store or a worker", "images came back undone")

    async def _next_step(self, sent: BatchInFlight) -> Next:
        error = sent.report.exception()
        if error is None:
            return await self._after_report(sent.batch, sent.report.result())
        if isinstance(error, BatchLostError):
            return self._after_loss(sent, error.loss)
        raise error

    async def _after_report(self, batch: Batch, report: BatchReport) -> Next:
        if report.recorded is not Recorded.COUNTED:
            self._request_rebuild()
        if report.recorded is Recorded.NOT_OURS:
            await self._check_epoch()
            return Next(put_back=await self._feed.unfinished_among(batch.items))
        self._pacing.learn(batch, report, self._now())
        self._images_done += report.terminal
        return after_report(report)

    def _after_loss(self, sent: BatchInFlight, loss: Loss) -> Next:
        self._request_rebuild()  # the worker may have died between MongoDB and Redis
        logger.warning("batch lost: %s", loss.name, extra={"requestId": self._request.request_id})
        return after_loss(
            sent.batch.items,
            loss,
            has_begun=sent.has_begun,
            is_overdue=sent.is_overdue,
            is_stopped=self.stopped.is_set(),
            max_attempts=self._settings.max_attempts,
        )

    async def _check_epoch(self) -> None:
        request = await self._requests.get(self._request.request_id)
        if request is None or request.epoch != self._request.epoch:
            raise StaleEpochError(self._request.request_id)

    async def _apply(self, step: Next) -> None:
        """Apply a step. Failures are recorded first, so that nothing of the step is done while MongoDB is away."""
        for failed in step.failed:
            await self._record_failed(failed)
        self._queue.apply(step)

    async def _record_failed(self, failed: Failed) -> None:
        item, request = failed.item, self._request
        result = ImageResult(item.row, item.index, failed_image(item, failed.error), None)
        if await self._products.record_results(request.request_id, request.epoch, [result]) is FencedWrite.REFUSED:
            raise StaleEpochError(request.request_id)

    async def _back_off(self, error: StoreUnavailableError) -> None:
        """Send nothing for a while, since a store is away. Batches in flight go on."""
        self._backoffs += 1
        seconds = backoff_seconds(self._backoffs, base_seconds=_BACKOFF_BASE_SECONDS, cap_seconds=_BACKOFF_CAP_SECONDS)
        logger.warning("pause of %.1f s: %s", seconds, error, extra={"requestId": self._request.request_id})
        await wait_until_set(self.stopped, seconds)
