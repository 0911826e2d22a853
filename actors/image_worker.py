"""The process that does the images of a batch: fetch, compress, put, and record."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import stamina

from actors.backoff import backoff_seconds
from actors.imaging import CONTENT_TYPES, EXTENSIONS, Compressed, Limits, compress
from actors.work import Batch, BatchReport, Fate, Outcome, WorkItem, failed_image
from cluster.errors import ImageError, ImageErrorCode, StoreUnavailableError
from cluster.http.download import Download, download
from cluster.http.session import guarded_session
from cluster.mongo.connection import Database
from cluster.mongo.products import ImageResult, ProductStore
from cluster.object_writer import ObjectWriter, object_key
from cluster.progress import CountedImage, Progress
from cluster.records import Image, Output, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from cluster.settings import Settings

_STORE_AWAY_SECONDS = 60
_MAX_RETRY_AFTER_SECONDS = 3600.0
logger = logging.getLogger("darkroom.image_worker")


class Worker:
    """The connections and threads of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(
            max_pixels=settings.max_pixels,
            max_side_pixels=settings.max_side_pixels,
            max_frames=settings.max_frames,
            max_buffered_pixels=settings.max_buffered_pixels,
            max_progressive_pixels=settings.max_progressive_pixels,
        )
        self._runner = asyncio.Runner()
        # The task owns one core: one thread compresses, while the event loop waits for the network.
        self._compress_thread = ThreadPoolExecutor(1, "compress")
        self._runner.run(self._connect())

    async def _connect(self) -> None:
        self._http = guarded_session(self._settings, max_connections=self._settings.downloads_per_task)
        self._objects = ObjectWriter(self._settings, max_connections=self._settings.downloads_per_task)
        self._products = ProductStore(Database(self._settings))
        self._progress = Progress(self._settings)

    def run(self, batch: Batch) -> BatchReport:
        """Do a batch and report; raises nothing that a single image or an absent store could cause."""
        return self._runner.run(self._run(batch))

    async def _run(self, batch: Batch) -> BatchReport:
        started = time.monotonic()
        try:
            images = [(item.row, item.index, item.attempt) for item in batch.items]
            if not await self._products.begin_attempts(batch.request_id, batch.epoch, images):
                return BatchReport((), refused=True)
            downloads = asyncio.Semaphore(self._settings.downloads_per_task)
            done = await asyncio.gather(*(self._do_image(batch, item, downloads) for item in batch.items))
            results = [(outcome, result) for outcome, result in done if result is not None]
            if not await self._record(batch, [result for _, result in results]):
                return BatchReport((), refused=True)
        except StoreUnavailableError as error:
            logger.warning("batch deferred: %s", error, extra={"requestId": batch.request_id})
            return BatchReport(tuple(Outcome(item, Fate.DEFERRED) for item in batch.items))
        counted = await self._count(
            batch, [CountedImage.of(outcome.item.ordinal, result.image) for outcome, result in results]
        )
        return BatchReport(tuple(outcome for outcome, _ in done), time.monotonic() - started, counted)

    async def _do_image(
        self, batch: Batch, item: WorkItem, downloads: asyncio.Semaphore
    ) -> tuple[Outcome, ImageResult | None]:
        try:
            # Held to the end, so that only so many sources are in memory.
            async with downloads:
                source = await download(self._http, item.url, settings=self._settings)
                return await self._store(batch, item, source)
        except StoreUnavailableError as error:
            logger.warning("image deferred: %s", error, extra={"requestId": batch.request_id, "row": item.row})
            return Outcome(item, Fate.DEFERRED), None
        except ImageError as error:
            return self._failed(item, error)
        except Exception:  # what we did not foresee must cost one image, not the batch
            logger.exception("image failed", extra={"requestId": batch.request_id, "row": item.row})
            return self._failed(item, ImageError(ImageErrorCode.INTERNAL_ERROR, "Darkroom failed on this image."))

    async def _store(self, batch: Batch, item: WorkItem, source: Download) -> tuple[Outcome, ImageResult]:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._compress_thread, compress, source.data, batch.options, self._limits)
        except ImageError as error:
            raise ImageError(error.code, error.message, source.http_status) from error
        names = batch.options.output_names or [""]
        outputs = [_output(batch, item, name, output) for name, output in zip(names, made, strict=True)]
        for output, stored in zip(made, outputs, strict=True):
            async for attempt in _while_a_store_is_away():
                with attempt:
                    await self._objects.put(stored.key, output.data, content_type=CONTENT_TYPES[output.format])
        image = _completed(source, outputs, item.attempt)
        return Outcome(item, Fate.COMPLETED), ImageResult(item.row, item.index, image, outputs[0].key)

    def _failed(self, item: WorkItem, error: ImageError) -> tuple[Outcome, ImageResult | None]:
        if error.code.transient and item.attempt < self._settings.max_attempts:
            return Outcome(item, Fate.RETRY, self._delay_seconds(item, error)), None
        return Outcome(item, Fate.FAILED), ImageResult(item.row, item.index, failed_image(item, error), None)

    def _delay_seconds(self, item: WorkItem, error: ImageError) -> float:
        if error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, _MAX_RETRY_AFTER_SECONDS)
        return backoff_seconds(
            item.attempt,
            base_seconds=self._settings.retry_base_seconds,
            cap_seconds=self._settings.retry_cap_seconds,
        )

    async def _record(self, batch: Batch, results: list[ImageResult]) -> bool:
        """Write what was done; False when a newer coordinator owns it."""
        async for attempt in _while_a_store_is_away():
            with attempt:
                return await self._products.record_results(batch.request_id, batch.epoch, results)
        raise AssertionError  # the loop returns or raises

    async def _count(self, batch: Batch, images: list[CountedImage]) -> bool:
        if not images:
            return True
        try:
            await self._progress.count(batch.request_id, images)
        except StoreUnavailableError as error:
            logger.warning("progress not counted: %s", error, extra={"requestId": batch.request_id})
            return False
        return True


def _while_a_store_is_away() -> AsyncIterable[stamina.Attempt]:
    """Attempts at a write, for a while: it is worth a wait, since all the work before it would be done again."""
    return stamina.retry_context(on=StoreUnavailableError, attempts=None, timeout=_STORE_AWAY_SECONDS)


def _output(batch: Batch, item: WorkItem, name: str, output: Compressed) -> Output:
    return Output(
        name=name,
        key=object_key(batch.request_id, item.row, item.index, EXTENSIONS[output.format], name),
        bytes=len(output.data),
        width=output.width,
        height=output.height,
        format=output.format,
        quality=output.quality,
        decision=output.decision,
    )


def _completed(source: Download, outputs: list[Output], attempt: int) -> Image:
    first = outputs[0]
    return Image(
        status=Status.COMPLETED,
        http_status=source.http_status,
        attempts=attempt,
        bytes_in=len(source.data),
        bytes_out=sum(output.bytes for output in outputs),
        width=first.width,
        height=first.height,
        format=first.format,
        quality=first.quality,
        decision=first.decision,
        outputs=outputs if first.name else [],
    )
