"""Runs one batch in its worker: all images at once, and their results recorded as they come."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.messages import Batch, BatchReport, Outcome, OutcomeKind, Recorded, Stop, WorkItem
from actors.worker.compressor_child import StartError
from actors.worker.cpu_slot import CpuSlot, CpuSlotClosedError
from actors.worker.host_limiter import FetchLaterError
from actors.worker.processed_image import ProcessedImage, after_error
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError, StoreUnavailableError
from cluster.retry import backoff_seconds

if TYPE_CHECKING:
    from actors.worker.host_limiter import HostLimiter
    from cluster.http.download import Download
    from cluster.settings import Settings

IO_BOUND_DOWNLOADS = 32
"""The number of downloads at once in a batch that waits for its sources."""
_CHECK_INTERVAL_SECONDS = 0.25  # between two looks for stragglers and overruns
_RECORD_INTERVAL_SECONDS = 1.0
_STOP_NOW_SECONDS = 0.8  # for images in the CPU slot when the batch must stop now
_STRAGGLER_FACTOR = 3  # of the median download
_MIN_STRAGGLER_SECONDS = 0.25
_FIRST_STRAGGLER_SECONDS = 3.0  # while no download has come to its end
_IO_BOUND_AFTER_SECONDS = 0.5  # an interrupted download that took longer would never end if small requests kept coming

logger = logging.getLogger("darkroom.image_worker")


class FetchAgainError(Exception):
    """The source is needed whole, since the earlier result for it is gone. It is fetched once more at most."""


class Pipeline(Protocol):
    """The work on one image, and the recording of several results."""

    async def fetch(self, item: WorkItem) -> Download:
        """Download an image. Raises `ImageError`."""

    async def store(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> ProcessedImage:
        """Compress and put an image.

        Raises `ImageError`, `StartError`, `StoreUnavailableError` or `FetchAgainError`.
        """

    async def record(self, batch: Batch, images: list[ProcessedImage]) -> Recorded:
        """Write results. Raises `StoreUnavailableError`."""

    def end_overrun(self) -> None:
        """End a compression that takes more time or memory than it may. Its image fails."""

    def abandon_compression(self) -> None:
        """End a compression whose result nobody waits for."""


class _Downloads(NamedTuple):
    """The time that downloads took, and since when others have been on their way."""

    running: dict[WorkItem, float]
    seconds: list[float]

    def are_stragglers(self, now: float) -> bool:
        """Return whether all that are on their way take much longer than the others did."""
        patience = (
            max(_MIN_STRAGGLER_SECONDS, _STRAGGLER_FACTOR * median(self.seconds))
            if self.seconds
            else _FIRST_STRAGGLER_SECONDS
        )
        return bool(self.running) and all(now - since > patience for since in self.running.values())


def _answer(stop: asyncio.Future[Stop]) -> Stop:
    """Return the way to stop. It is `Stop.NOW` when the coordinator is dead, because its successor is waiting."""
    return stop.result() if stop.done() and stop.exception() is None else Stop.NOW


def downloads_at_once(batch: Batch, settings: Settings) -> int:
    """Return how many sources a batch may fetch at once."""
    return IO_BOUND_DOWNLOADS if batch.is_io_bound else settings.downloads_per_task


class BatchRun:
    """The images of one batch.

    Args:
        batch: The batch.
        pipeline: The work on each image.
        limiter: The limits of each source host.
        settings: The limits of a compression, and of attempts.
    """

    def __init__(self, batch: Batch, pipeline: Pipeline, limiter: HostLimiter, settings: Settings) -> None:
        self._batch = batch
        self._pipeline = pipeline
        self._limiter = limiter
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._cpu_slot = CpuSlot(self._loop)
        self._sources_in_memory = asyncio.Semaphore(downloads_at_once(batch, settings))
        self._downloads = _Downloads({}, [])
        self._unrecorded: list[ProcessedImage] = []
        self._outcomes: list[Outcome] = []
        self._recorded = Recorded.COUNTED
        self._recorded_at = self._loop.time()
        self._only_stragglers_left = False

    async def run(self, stop: asyncio.Future[Stop]) -> BatchReport:
        """Do the batch until all is done, or its sources keep the CPU slot waiting, or `stop` is done.

        Args:
            stop: Done when the batch is to end early.

        Raises:
            StoreUnavailableError: Results could not be recorded.
        """
        started = self._loop.time()
        tasks = {asyncio.create_task(self._do(item)): item for item in self._batch.items}
        everything = asyncio.gather(*tasks)
        recording = asyncio.create_task(self._record())
        try:
            while not (everything.done() or stop.done() or self._must_end()):
                either: tuple[asyncio.Future[Any], ...] = (everything, stop)
                await asyncio.wait(either, timeout=_CHECK_INTERVAL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._pipeline.end_overrun()
                if recording.done() and self._loop.time() - self._recorded_at > _RECORD_INTERVAL_SECONDS:
                    if await recording is Recorded.NOT_OURS:
                        return BatchReport.not_ours()
                    recording = asyncio.create_task(self._record())  # beside the work, however long it takes
            await self._end(tasks, stop=_answer(stop) if stop.done() else Stop.DRAIN)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(everything, return_exceptions=True)
            if self._cpu_slot.is_compressing:
                self._pipeline.abandon_compression()
        if await recording is Recorded.NOT_OURS or await self._record() is Recorded.NOT_OURS:
            return BatchReport.not_ours()
        # A task that was cancelled before its first step has no outcome of its own.
        self._outcomes += [Outcome(item, OutcomeKind.RELEASED) for task, item in tasks.items() if task.cancelled()]
        outcomes = tuple(self._outcomes)
        return BatchReport(outcomes, self._loop.time() - started, self._cpu_slot.idle_seconds, self._recorded)

    def _must_end(self) -> bool:
        self._only_stragglers_left = (
            not self._batch.is_io_bound and self._cpu_slot.is_idle and self._downloads.are_stragglers(self._loop.time())
        )
        return self._only_stragglers_left

    async def _end(self, tasks: dict[asyncio.Task[None], WorkItem], *, stop: Stop) -> None:
        """Release the images without the CPU slot, and let the others finish. With `Stop.NOW`, they have a moment."""
        self._cpu_slot.close()
        for task, item in tasks.items():
            if not self._cpu_slot.will_finish(item):
                task.cancel()
        left = [task for task in tasks if not task.done()]
        while left:
            if stop is Stop.NOW:
                await asyncio.wait(left, timeout=_STOP_NOW_SECONDS)
                return
            await asyncio.wait(left, timeout=_CHECK_INTERVAL_SECONDS)
            self._pipeline.end_overrun()
            left = [task for task in left if not task.done()]

    async def _do(self, item: WorkItem) -> None:
        try:
            image = await self._process(item)
        except asyncio.CancelledError:
            image = self._release(item)
        self._outcomes.append(image.outcome)
        if image.outcome.is_attempt:
            self._unrecorded.append(image)

    async def _process(self, item: WorkItem) -> ProcessedImage:
        try:
            while True:
                source = await self._fetch_in_turn(item)
                try:
                    return await self._pipeline.store(self._batch, item, source, self._cpu_slot)
                except FetchAgainError:
                    continue
                finally:
                    self._sources_in_memory.release()
        except CpuSlotClosedError:
            return self._release(item)
        except (FetchLaterError, StartError) as later:
            return ProcessedImage(Outcome(item, OutcomeKind.RELEASED, later.seconds))
        except StoreUnavailableError as error:
            logger.warning("image not stored: %s", error, extra=self._log_fields(item))
            return ProcessedImage(Outcome(item, OutcomeKind.STORE_AWAY))
        except ImageError as error:
            return self._fail(item, error)
        except Exception:  # a fault of our own must cost one image, not the batch
            logger.exception("image failed", extra=self._log_fields(item))
            message = "Darkroom failed on this image. Retry it, and tell your operator the requestId if it fails again."
            return self._fail(item, ImageError(ImageErrorCode.INTERNAL_ERROR, message))

    def _log_fields(self, item: WorkItem) -> dict[str, object]:
        return {"requestId": self._batch.request_id, "row": item.row}

    async def _fetch_in_turn(self, item: WorkItem) -> Download:
        """Return the source. The caller releases `_sources_in_memory` when it needs the source no more."""
        async with self._limiter.turn(item.url):
            await self._sources_in_memory.acquire()
            try:
                return await self._fetch(item)
            except BaseException:
                self._sources_in_memory.release()
                raise

    async def _fetch(self, item: WorkItem) -> Download:
        begun = self._loop.time()
        self._downloads.running[item] = begun
        try:
            source = await self._pipeline.fetch(item)
        except ImageError:
            del self._downloads.running[item]
            raise
        del self._downloads.running[item]
        self._downloads.seconds.append(self._loop.time() - begun)
        return source

    def _release(self, item: WorkItem) -> ProcessedImage:
        since = self._downloads.running.get(item)
        if since is not None and (self._only_stragglers_left or self._loop.time() - since > _IO_BOUND_AFTER_SECONDS):
            item = replace(item, is_io_bound=True)
        return ProcessedImage(Outcome(item, OutcomeKind.RELEASED))

    def _fail(self, item: WorkItem, error: ImageError) -> ProcessedImage:
        pause_seconds = backoff_seconds(
            item.failures + 1,
            base_seconds=self._settings.retry_base_seconds,
            cap_seconds=self._settings.retry_cap_seconds,
        )
        return after_error(item, error, max_attempts=self._settings.max_attempts, backoff_seconds=pause_seconds)

    async def _record(self) -> Recorded:
        """Write the results since the last time."""
        images, self._unrecorded = self._unrecorded, []
        recorded = await self._pipeline.record(self._batch, images) if images else Recorded.COUNTED
        self._recorded_at = self._loop.time()
        if recorded is not Recorded.COUNTED:
            self._recorded = recorded
        return recorded
