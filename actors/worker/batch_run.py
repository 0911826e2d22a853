"""One batch in its worker: all its images at once, their results recorded as they come, and an end when it is time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.messages import Batch, BatchReport, Outcome, OutcomeKind, Stop, WorkItem
from actors.worker.cpu_slot import CpuSlot, CpuSlotClosedError, resident_bytes
from actors.worker.host_limiter import FetchLaterError
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError, StoreUnavailableError

if TYPE_CHECKING:
    from actors.worker.host_limiter import HostLimiter
    from cluster.http.download import Download
    from cluster.mongo.products import ImageResult
    from cluster.settings import Settings

_TICK_SECONDS = 0.25
_RECORD_SECONDS = 1.0
_STOP_SECONDS = 0.8  # for what is in the CPU slot when the batch is to end
SLOW_DOWNLOADS = 32
"""At once, in a batch that waits for its sources."""
_STRAGGLER_FACTOR = 3  # of the median download
_MIN_STRAGGLER_SECONDS = 0.25
_INTERRUPTED_SECONDS = 0.5  # a longer download would never end if small requests came again and again
_FIRST_STRAGGLER_SECONDS = 3.0  # while no download has come to its end

logger = logging.getLogger("darkroom.image_worker")

Done = tuple[Outcome, "ImageResult | None"]


class FetchAgainError(Exception):
    """What was known about a source is of no use: all of it is needed, once more and for the last time."""


class Pipeline(Protocol):
    """What is done with an image, and with the results of several."""

    async def fetch(self, item: WorkItem) -> Download:
        """Raises `ImageError`."""

    async def store(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> Done:
        """Compress and put. Raises `ImageError`, `StoreUnavailableError` or `FetchAgainError`."""

    def failed(self, item: WorkItem, error: ImageError) -> Done:
        """What becomes of an image that has failed."""

    async def record(self, batch: Batch, done: list[Done]) -> bool | None:
        """Write results: whether Redis counted them; None when a newer coordinator or batch has them."""


class _Downloads(NamedTuple):
    """How long downloads took, and since when others have been on their way."""

    running: dict[WorkItem, float]
    seconds: list[float]

    def are_stragglers(self, now: float) -> bool:
        """Whether all that are on their way take much longer than the others did."""
        patience = (
            max(_MIN_STRAGGLER_SECONDS, _STRAGGLER_FACTOR * median(self.seconds))
            if self.seconds
            else _FIRST_STRAGGLER_SECONDS
        )
        return bool(self.running) and all(now - since > patience for since in self.running.values())


def _answer(stop: asyncio.Future[Stop]) -> Stop:
    """A coordinator that cannot be asked any more is dead, and its successor waits for the end of this batch."""
    return stop.result() if stop.done() and stop.exception() is None else Stop.NOW


def downloads_at_once(batch: Batch, settings: Settings) -> int:
    """How many sources a batch may fetch at once."""
    return SLOW_DOWNLOADS if batch.is_slow else settings.downloads_per_task


def overrun(cpu_slot: CpuSlot, now: float, settings: Settings) -> tuple[WorkItem, ImageError] | None:
    """The image whose compression takes more time or memory than it may, and the error that says so."""
    current = cpu_slot.current
    if current is None:
        return None
    # Before the time: what takes much memory may be slow for that alone.
    # Sources that are on their way meanwhile count, too, but they are small beside the limit.
    if resident_bytes() - current.resident_bytes > settings.max_image_memory_bytes:
        return current.item, ImageError(ImageErrorCode.OUT_OF_MEMORY, "The image takes more memory than it may.")
    if now - current.since >= settings.image_timeout_seconds:
        message = f"The image could not be compressed within {settings.image_timeout_seconds:g} seconds."
        return current.item, ImageError(ImageErrorCode.TIMEOUT, message)
    return None


class BatchRun:
    """The images of one batch.

    Args:
        batch: The batch.
        pipeline: What is done with each image.
        limiter: What may be fetched from each host.
        settings: How long a compression may take.
    """

    def __init__(self, batch: Batch, pipeline: Pipeline, limiter: HostLimiter, settings: Settings) -> None:
        self._batch = batch
        self._pipeline = pipeline
        self._limiter = limiter
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._cpu_slot = CpuSlot(self._loop)
        self._room = asyncio.Semaphore(downloads_at_once(batch, settings))
        self._downloads = _Downloads({}, [])
        self._unrecorded: list[Done] = []
        self._outcomes: list[Outcome] = []
        self._recorded_at = self._loop.time()
        self._counted = True
        self._is_kept_waiting = False
        self._overrun: tuple[WorkItem, ImageError] | None = None  # a compression that goes on, and nobody can stop

    async def run(self, stop: asyncio.Future[Stop]) -> BatchReport:
        """Do the batch, until all is done, or its sources keep the CPU slot waiting, or `stop` says that it is to end.

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
            while not (everything.done() or stop.done() or self._is_to_end()):
                both: tuple[asyncio.Future[Any], ...] = (everything, stop)
                await asyncio.wait(both, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if recording.done() and self._loop.time() - self._recorded_at > _RECORD_SECONDS:
                    if not await recording:
                        return BatchReport((), refused=True)
                    recording = asyncio.create_task(self._record())  # beside the work, however long it takes
            await self._end(tasks, stop=_answer(stop) if stop.done() else Stop.DRAIN)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(everything, return_exceptions=True)
        if not (await recording and await self._record()):
            return BatchReport((), refused=True)
        # One that was cancelled before its first step has not seen that itself.
        self._outcomes += [Outcome(item, OutcomeKind.RELEASED) for task, item in tasks.items() if task.cancelled()]
        outcomes = tuple(self._outcomes)
        return BatchReport(outcomes, self._loop.time() - started, self._cpu_slot.idle_seconds, self._counted)

    @property
    def has_overrun(self) -> bool:
        """Whether an image was given up whose compression nothing can stop, or goes on after the batch's end."""
        return self._overrun is not None or self._cpu_slot.is_compressing

    def _is_to_end(self) -> bool:
        self._overrun = overrun(self._cpu_slot, self._loop.time(), self._settings)
        if self._overrun is not None:
            return True
        self._is_kept_waiting = (
            not self._batch.is_slow and self._cpu_slot.is_idle and self._downloads.are_stragglers(self._loop.time())
        )
        return self._is_kept_waiting

    async def _end(self, tasks: dict[asyncio.Task[None], WorkItem], *, stop: Stop) -> None:
        """Release the images that have no CPU slot yet, and let the others finish: within a moment when in a hurry."""
        self._cpu_slot.close()
        for task, item in tasks.items():
            if not self._cpu_slot.keeps(item):
                task.cancel()
        left = [task for task in tasks if not task.done()]
        while left and self._overrun is None:
            if stop is Stop.NOW:
                await asyncio.wait(left, timeout=_STOP_SECONDS)
                return
            await asyncio.wait(left, timeout=_TICK_SECONDS)
            self._overrun = overrun(self._cpu_slot, self._loop.time(), self._settings)
            left = [task for task in left if not task.done()]

    async def _do(self, item: WorkItem) -> None:
        try:
            done = await self._done(item)
        except asyncio.CancelledError:
            done = self._released(item)
        self._outcomes.append(done[0])
        if done[0].is_done:
            self._unrecorded.append(done)

    async def _done(self, item: WorkItem) -> Done:
        try:
            while True:
                source = await self._fetched_in_turn(item)
                try:
                    return await self._pipeline.store(self._batch, item, source, self._cpu_slot)
                except FetchAgainError:
                    continue
                finally:
                    self._room.release()
        except CpuSlotClosedError:
            return self._released(item)
        except FetchLaterError as later:
            return Outcome(item, OutcomeKind.RELEASED, later.seconds), None
        except StoreUnavailableError as error:
            logger.warning("image deferred: %s", error, extra=self._where(item))
            return Outcome(item, OutcomeKind.STORE_AWAY), None
        except ImageError as error:
            return self._pipeline.failed(item, error)
        except Exception:  # what we did not foresee must cost one image, not the batch
            logger.exception("image failed", extra=self._where(item))
            return self._pipeline.failed(
                item, ImageError(ImageErrorCode.INTERNAL_ERROR, "Darkroom failed on this image.")
            )

    def _where(self, item: WorkItem) -> dict[str, object]:
        return {"requestId": self._batch.request_id, "row": item.row}

    async def _fetched_in_turn(self, item: WorkItem) -> Download:
        """The source; its room is taken until the caller has done with it, so that only so many are in memory."""
        async with self._limiter.turn(item.url):
            await self._room.acquire()
            try:
                return await self._fetched(item)
            except BaseException:
                self._room.release()
                raise

    async def _fetched(self, item: WorkItem) -> Download:
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

    def _released(self, item: WorkItem) -> Done:
        if self._overrun is not None and item is self._overrun[0]:
            return self._pipeline.failed(*self._overrun)
        since = self._downloads.running.get(item)
        if since is not None and (self._is_kept_waiting or self._loop.time() - since > _INTERRUPTED_SECONDS):
            item = replace(item, is_slow=True)
        return Outcome(item, OutcomeKind.RELEASED), None

    async def _record(self) -> bool:
        """Write what was done since the last time; False when a newer coordinator or batch has it."""
        done, self._unrecorded = self._unrecorded, []
        counted = await self._pipeline.record(self._batch, done) if done else True
        self._recorded_at = self._loop.time()
        self._counted &= counted is True
        return counted is not None
