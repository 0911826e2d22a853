"""Keeps a request's share full: batches out to tasks, reports back in, until every image is terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING

from actors.messages import (
    NO_SHARE,
    Batch,
    BatchLostError,
    BatchReport,
    Loss,
    OutcomeKind,
    Share,
    WorkItem,
    failed_image,
)
from actors.request.batch_size import BatchSize
from actors.request.feed import Feed, unfinished_items
from actors.request.in_flight import BatchesInFlight, BatchInFlight, Sent
from cluster.aio import end
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError, StaleEpochError, StoreUnavailableError
from cluster.mongo.products import FencedWrite, ImageResult
from cluster.retry import backoff_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.mongo.products import ProductStore
    from cluster.mongo.requests import RequestStore
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_PAUSE_BASE_SECONDS = 1
_PAUSE_CAP_SECONDS = 10
_MAX_SLOW_IMAGES = 64  # of a batch that waits for its sources
_MAKE_ROOM_SECONDS = 0.3
_LONE_LIVES = 5  # of an image, beyond its attempts, when its node or its coordinator may have died by it
_MANY = 100_000  # slots that whoever has not read all its images could use
logger = logging.getLogger("darkroom.dispatcher")


class Dispatcher:
    """The work of one request.

    Args:
        request: The request, as this coordinator claimed it.
        requests: To see whether a newer coordinator has claimed it since.
        products: To read what is to do, and to record what no task could.
        send: Sends a batch to a Ray task.
        numbers: Of the batches; none comes twice in an epoch.
        settings: The settings.
    """

    def __init__(
        self,
        request: ProcessingRequest,
        *,
        requests: RequestStore,
        products: ProductStore,
        send: Callable[[Batch], Sent],
        numbers: Iterator[int],
        settings: Settings,
    ) -> None:
        self._request = request
        self._requests = requests
        self._products = products
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self._feed = Feed(products, request.request_id, self._now)
        self._size = BatchSize(settings)
        self._share = NO_SHARE
        self._woken = asyncio.Event()
        self._send_not_before = 0.0
        self.stopped = asyncio.Event()
        self._numbers = numbers
        self._pauses = 0
        self.in_flight = BatchesInFlight(send)
        self.progress_missed = False
        self.images_done = 0

    @property
    def demand(self) -> int:
        """How many slots the request could use now."""
        waiting = _MANY if self._feed.has_more else self._feed.ready
        return max(math.ceil(self.in_flight.cpu_batches / 2), waiting)

    def set_share(self, share: Share, *, at_once: bool) -> None:
        """How much of the cluster the request may use; `at_once`: what is too much ends early."""
        if share.time_fraction > self._share.time_fraction:
            self._send_not_before = 0.0
        self._share = share
        if at_once and not share.max_batches:
            self.in_flight.end_early()
        # Who is not to rest keeps one batch running, or small requests that come together would end each other's.
        elif at_once and self.in_flight.shrink(share.running if share.time_fraction < 1 else max(1, share.running)):
            # Until those who wait have sent theirs: batches get cores in the order in which they were sent.
            self._send_not_before = max(self._send_not_before, self._now() + _MAKE_ROOM_SECONDS)
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing more, and let all batches end early; `run` returns when they have."""
        self.stopped.set()
        self.in_flight.stop()
        self._woken.set()

    async def run(self) -> bool:
        """Return True when every image is terminal, False when it was stopped before.

        Raises:
            StaleEpochError: A newer coordinator has claimed the request.
        """
        try:
            while not self._is_done():
                await self._turn()
        finally:
            self.in_flight.stop()
            await end(*self.in_flight.reports)
        return self._feed.exhausted

    def _is_done(self) -> bool:
        if self.in_flight:
            return False
        return self.stopped.is_set() or self._feed.exhausted

    async def _turn(self) -> None:
        """Send what there is room for, and take in what has come back."""
        try:
            if not self.stopped.is_set():
                await self._fill_share()
            if self._is_done():
                return
            await self._wait()
            self.in_flight.end_overdue(self._settings.batch_timeout_seconds)
            await self._absorb_reported()
            self._pauses = 0
        except StoreUnavailableError as error:
            await self._pause(error)

    async def _fill_share(self) -> None:
        while self.in_flight.cpu_batches < self._share.max_batches and self._now() >= self._send_not_before:
            items = await self._next_items()
            if not items:
                break
            self._send(items)
        while self._may_send and self._feed.slow and not self.in_flight.has_slow:
            items = await self._without_suspects(self._feed.take_slow(_MAX_SLOW_IMAGES))
            if items:
                self._send(items, is_slow=True)

    @property
    def _may_send(self) -> bool:
        return self._share.max_batches > 0 and not self.stopped.is_set()

    async def _next_items(self) -> tuple[WorkItem, ...]:
        while True:
            await self._feed.refill(self._size.images * self._share.max_batches)
            if not self._may_send:  # it may have changed while we waited
                return ()
            # The last images are shared out, so that no core idles while another has a long batch.
            cores = max(1, round(self._share.slots))
            taken = self._feed.take(min(self._size.images, math.ceil(self._feed.ready / cores)))
            items = await self._without_suspects(taken)
            if items or not (self._feed.ready or self._feed.has_more):  # some hosts may rest, and those of others not
                return items

    async def _without_suspects(self, items: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
        """Put back who was at work whenever nodes or coordinators died, to be sent alone, or to fail in the end."""
        most = self._settings.max_attempts
        try:
            for item in (each for each in items if each.unknown_ends > most + _LONE_LIVES):
                await self._fail(item, ImageError(ImageErrorCode.DECODER_CRASHED, "The image crashed its node."))
        except StoreUnavailableError:
            self._feed.put_back(items)  # one that is failed already refuses its batch, and is looked up again
            raise
        left = [each for each in items if each.unknown_ends <= most + _LONE_LIVES]
        suspects = [each for each in left if each.unknown_ends > most and each.batch_limit != 1]
        self._feed.put_back(each.among(1) for each in suspects)
        return tuple(each for each in left if each not in suspects)

    def _send(self, items: tuple[WorkItem, ...], *, is_slow: bool = False) -> None:
        request = self._request
        self.in_flight.send(
            Batch(
                request_id=request.request_id,
                owner=request.owner,
                epoch=request.epoch,
                number=next(self._numbers),
                options=request.options,
                items=items,
                is_slow=is_slow,
                host_downloads=max(1, int(self._settings.max_downloads_per_host / self._share.cluster_slots)),
            )
        )

    async def _wait(self) -> None:
        """Wait for a report, for a change, or, when there is room, for an image whose pause is over."""
        self._woken.clear()
        has_room = self.in_flight.cpu_batches < self._share.max_batches
        due = [self._settings.batch_timeout_seconds / 4] if self.in_flight else []
        if has_room and self._feed.seconds_to_next is not None:
            due.append(self._feed.seconds_to_next)
        if has_room and self._send_not_before > self._now():
            due.append(self._send_not_before - self._now())
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait(
                [*self.in_flight.reports, woken], timeout=min(due, default=None), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()

    async def _absorb_reported(self) -> None:
        deferred = 0
        for flight in self.in_flight.reported:
            deferred += await self._absorb(flight)
            self.in_flight.remove(flight)
        if deferred:
            raise StoreUnavailableError("a store or a worker", f"{deferred} images deferred")

    async def _absorb(self, flight: BatchInFlight) -> int:
        """Returns how many images were deferred: sent again, after a pause, with no attempt used up."""
        error = flight.report.exception()
        if error is None:
            return await self._absorb_report(flight.batch, flight.report.result())
        if isinstance(error, BatchLostError):
            return await self._absorb_loss(flight, error.loss)
        raise error

    async def _absorb_report(self, batch: Batch, report: BatchReport) -> int:
        if report.refused:
            await self._look_again(batch)
            return 0
        self.progress_missed |= not report.progress_counted
        self._size.learn(batch, report)
        self.images_done += report.ended
        if self._share.time_fraction < 1 and not batch.is_slow:
            pause_seconds = self._share.pause_seconds(min(report.seconds, self._size.seconds))
            self._send_not_before = max(self._send_not_before, self._now() + pause_seconds)
        for item, delay_seconds in ((each.item, each.delay_seconds) for each in report.of(OutcomeKind.RETRY)):
            self._feed.put_later(item.again, delay_seconds)
        deferred = [each.item for each in report.of(OutcomeKind.STORE_AWAY)]
        returned = report.of(OutcomeKind.RELEASED)
        for later in (each for each in returned if each.delay_seconds):
            self._feed.pause_host(later.item, later.delay_seconds)
        self._feed.put_back([*deferred, *(each.item for each in returned)])
        return len(deferred)

    async def _absorb_loss(self, flight: BatchInFlight, loss: Loss) -> int:
        """Halve a batch whose worker died until the guilty image is alone; that one has a limited number of lives.

        Whatever happens to an image meanwhile, it is not among more again, so that it ends only a few workers.
        """
        self.progress_missed = True  # the worker may have died between MongoDB and Redis
        items = flight.batch.items
        logger.warning("batch lost: %s", loss.name, extra={"requestId": self._request.request_id})
        if self.stopped.is_set() and not flight.is_overdue:
            return 0  # we ended its worker ourselves
        if loss is Loss.OTHER and not flight.is_overdue:
            # One of those that were begun may have taken its node with it.
            self._feed.put_back([item.after_unknown_end for item in items] if flight.has_begun else items)
            return len(items)
        if len(items) > 1:
            self._feed.put_back(item.among(len(items) // 2) for item in items)
            return 0
        (item,) = items
        if item.failures + 1 < self._settings.max_attempts:
            self._feed.put_back([item.again.among(1)])
            # Ray ends the newest task of a node that is short of memory, guilty or not: give it time to have some.
            return 1 if loss is Loss.OUT_OF_MEMORY else 0
        await self._fail(item, _loss_error(flight, loss))
        return 0

    async def _fail(self, item: WorkItem, error: ImageError) -> None:
        request, result = self._request, ImageResult(item.row, item.index, failed_image(item, error), None)
        if await self._products.record_results(request.request_id, request.epoch, [result]) is FencedWrite.REFUSED:
            raise StaleEpochError(request.request_id)

    async def _look_again(self, batch: Batch) -> None:
        """Part of a batch was not ours to do: either we are not the newest coordinator, or some of it is done."""
        request = await self._requests.get(self._request.request_id)
        if request is None or request.epoch != self._request.epoch:
            raise StaleEpochError(self._request.request_id)
        products = await self._products.rows(self._request.request_id, {item.row for item in batch.items})
        unfinished = {(item.row, item.index) for item in unfinished_items(products)}
        self._feed.put_back([item for item in batch.items if (item.row, item.index) in unfinished])
        self.progress_missed = True  # whoever did the others may not have counted them

    async def _pause(self, error: StoreUnavailableError) -> None:
        """A store is away: send nothing new for a while. What is in flight goes on."""
        self._pauses += 1
        seconds = backoff_seconds(self._pauses, base_seconds=_PAUSE_BASE_SECONDS, cap_seconds=_PAUSE_CAP_SECONDS)
        logger.warning("pause of %.1f s: %s", seconds, error, extra={"requestId": self._request.request_id})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), seconds)


def _loss_error(flight: BatchInFlight, loss: Loss) -> ImageError:
    if flight.is_overdue:
        return ImageError(ImageErrorCode.TIMEOUT, "The image keeps its worker from going on.")
    if loss is Loss.OUT_OF_MEMORY:
        return ImageError(ImageErrorCode.OUT_OF_MEMORY, "The image takes more memory than a worker has.")
    return ImageError(ImageErrorCode.DECODER_CRASHED, "The image crashed its decoder.")
