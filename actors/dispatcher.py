"""Keeps a request's window full: batches out to tasks, reports back in, until every image is terminal."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray.exceptions

from actors.backoff import backoff_seconds
from actors.feed import Feed, unfinished_items
from actors.work import Batch, BatchReport, Fate, WorkItem, failed_image
from cluster.errors import ImageError, ImageErrorCode, StaleEpochError, StoreUnavailableError
from cluster.mongo.products import ImageResult

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cluster.mongo.products import ProductStore
    from cluster.mongo.requests import RequestStore
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_FIRST_ESTIMATE_SECONDS = 0.1  # for one image, before anything was measured
_ESTIMATE_WEIGHT = 0.3
_PAUSE_BASE_SECONDS = 1
_PAUSE_CAP_SECONDS = 10
_GUILTY = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
logger = logging.getLogger("darkroom.dispatcher")


class Dispatcher:
    """The work of one request.

    Args:
        request: The request, as this coordinator claimed it.
        requests: To see whether a newer coordinator has claimed it since.
        products: To read what is to do, and to record what no task could.
        run_batch: Runs a batch in a Ray task.
        settings: The settings.
    """

    def __init__(
        self,
        request: ProcessingRequest,
        *,
        requests: RequestStore,
        products: ProductStore,
        run_batch: Callable[[Batch], Coroutine[Any, Any, BatchReport]],
        settings: Settings,
    ) -> None:
        self._request = request
        self._requests = requests
        self._products = products
        self._run_batch = run_batch
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._feed = Feed(products, request.request_id, self._loop.time)
        self._window = 1
        self._window_changed = asyncio.Event()
        self._in_flight: dict[asyncio.Task[BatchReport], Batch] = {}
        self._suspects: list[Batch] = []
        self._image_seconds = _FIRST_ESTIMATE_SECONDS
        self._pauses = 0
        self.progress_missed = False

    @property
    def images_in_flight(self) -> int:
        """How many images are in tasks."""
        return sum(len(batch.items) for batch in self._in_flight.values())

    def set_window(self, batches: int) -> None:
        """How many batches may be in flight."""
        self._window = batches
        self._window_changed.set()

    async def run(self) -> None:
        """Return when every image is terminal.

        Raises:
            StaleEpochError: A newer coordinator has claimed the request.
        """
        try:
            while not await self._is_done():
                pass
        finally:
            for task in self._in_flight:
                task.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _is_done(self) -> bool:
        """One turn: send what there is room for, and take in what has come back."""
        try:
            await self._fill_window()
            if not self._in_flight and not self._suspects and self._feed.exhausted:
                return True
            await self._wait()
            await self._absorb_finished()
            self._pauses = 0
        except StoreUnavailableError as error:
            await self._pause(error)
        return False

    async def _fill_window(self) -> None:
        while len(self._in_flight) < self._window:
            batch = self._suspects.pop() if self._suspects else await self._next_batch()
            if batch is None:
                return
            self._in_flight[asyncio.create_task(self._run_batch(batch))] = batch

    async def _next_batch(self) -> Batch | None:
        window = self._window  # it may change while we wait
        wanted = max(1, min(self._settings.max_batch_images, int(self._settings.batch_seconds / self._image_seconds)))
        await self._feed.refill(wanted * window)
        if not self._window:
            return None
        # The last images are shared out, so that no core idles while another has a long batch.
        fair = math.ceil(self._feed.ready / window)
        items = self._feed.take(min(wanted, fair))
        return self._batch(items) if items else None

    async def _wait(self) -> None:
        """Wait for a batch, for the window to change, or, when there is room, for an image whose pause is over."""
        self._window_changed.clear()
        seconds = self._feed.seconds_to_next if len(self._in_flight) < self._window else None
        window_changed = asyncio.create_task(self._window_changed.wait())
        waiting: list[asyncio.Task[BatchReport] | asyncio.Task[bool]] = [*self._in_flight, window_changed]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            window_changed.cancel()

    async def _absorb_finished(self) -> None:
        deferred = 0
        for task in [task for task in self._in_flight if task.done()]:
            deferred += await self._absorb(self._in_flight[task], task)
            del self._in_flight[task]
        if deferred:
            raise StoreUnavailableError("a store or a worker", f"{deferred} images deferred")

    async def _absorb(self, batch: Batch, task: asyncio.Task[BatchReport]) -> int:
        """Returns how many images were deferred: sent again, after a pause, with no attempt used up."""
        error = task.exception()
        if error is None:
            return await self._absorb_report(batch, task.result())
        if isinstance(error, ray.exceptions.RayError):
            return await self._absorb_crash(batch, error)
        raise error

    async def _absorb_report(self, batch: Batch, report: BatchReport) -> int:
        if report.refused:
            await self._look_again(batch)
            return 0
        self.progress_missed |= not report.progress_counted
        if report.seconds:
            measured = report.seconds / len(batch.items)
            self._image_seconds += _ESTIMATE_WEIGHT * (measured - self._image_seconds)
        for item, delay_seconds in ((each.item, each.delay_seconds) for each in report.of(Fate.RETRY)):
            self._feed.put_later(replace(item, attempt=item.attempt + 1), delay_seconds)
        deferred = [each.item for each in report.of(Fate.DEFERRED)]
        self._feed.put_back(deferred)
        return len(deferred)

    async def _absorb_crash(self, batch: Batch, error: BaseException) -> int:
        """Split a batch whose worker died until the guilty image is alone; that one has a limited number of lives."""
        self.progress_missed = True  # the worker may have died between MongoDB and Redis
        logger.warning("batch lost: %s", type(error).__name__, extra={"requestId": self._request.request_id})
        if not isinstance(error, _GUILTY):
            # No image can cause this: a node is gone, or a worker cannot start.
            self._feed.put_back(batch.items)
            return len(batch.items)
        if len(batch.items) > 1:
            middle = len(batch.items) // 2
            self._suspects += [self._batch(batch.items[:middle]), self._batch(batch.items[middle:])]
            return 0
        (item,) = batch.items
        if item.attempt < self._settings.max_attempts:
            self._suspects.append(self._batch((replace(item, attempt=item.attempt + 1),)))
            return 0
        image = failed_image(item, _crash_error(error))
        result = ImageResult(item.row, item.index, image, None)
        if not await self._products.record_results(self._request.request_id, self._request.epoch, [result]):
            raise StaleEpochError(self._request.request_id)
        return 0

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
        await asyncio.sleep(seconds)

    def _batch(self, items: tuple[WorkItem, ...]) -> Batch:
        return Batch(self._request.request_id, self._request.epoch, self._request.options, items)


def _crash_error(error: BaseException) -> ImageError:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return ImageError(ImageErrorCode.OUT_OF_MEMORY, "The image takes more memory than a worker has.")
    return ImageError(ImageErrorCode.DECODER_CRASHED, "The image crashed its decoder.")
