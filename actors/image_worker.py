"""The process that does the images of a batch: fetch, compress, put, and record."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import stamina

from actors.backoff import backoff_seconds
from actors.batch_run import SLOW_DOWNLOADS, BatchRun, Core, Done, downloads_at_once
from actors.host_gate import HostGate
from actors.imaging import CONTENT_TYPES, EXTENSIONS, Compressed, Limits, compress
from actors.work import Batch, BatchReport, Fate, Outcome, WorkItem, failed_image
from cluster.errors import ImageError, StoreUnavailableError
from cluster.http.download import Download, download
from cluster.http.session import guarded_session
from cluster.mongo.connection import Database
from cluster.mongo.products import ImageResult, ProductStore
from cluster.object_writer import ObjectWriter, object_key
from cluster.progress import CountedImage, Progress
from cluster.records import Image, Output, Status
from cluster.source_hosts import SourceHosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable

    from cluster.settings import Settings

_STORE_AWAY_SECONDS = 60
_LEAVE_SECONDS = 0.5
_MAX_RETRY_AFTER_SECONDS = 3600.0
logger = logging.getLogger("darkroom.image_worker")


class Worker:
    """The connections and threads of one worker process; made and used in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = Limits(
            max_pixels=settings.max_pixels,
            max_side_pixels=settings.max_side_pixels,
            max_frames=settings.max_frames,
            max_buffered_pixels=settings.max_buffered_pixels,
            max_progressive_pixels=settings.max_progressive_pixels,
        )
        # The task owns one core: one thread compresses, while the event loop waits for the network.
        self._compress_thread = ThreadPoolExecutor(1, "compress")
        self._is_leaving = False
        at_once = max(SLOW_DOWNLOADS, settings.downloads_per_task)
        self._http = guarded_session(settings, max_connections=at_once)
        self._objects = ObjectWriter(settings, max_connections=at_once)
        self._database = Database(settings)
        self._products = ProductStore(self._database)
        self._progress = Progress(settings)
        self._hosts = SourceHosts(settings)

    async def close(self) -> None:
        """Close all connections."""
        for each in (self._http, self._objects, self._database, self._progress, self._hosts):
            await each.close()
        self._compress_thread.shutdown()

    async def run(self, batch: Batch, stopped: Awaitable[object]) -> BatchReport:
        """Do a batch, until `stopped` at the latest; raises nothing that an image or an absent store could cause."""
        if self._is_leaving:
            return BatchReport(tuple(Outcome(item, Fate.RETURNED) for item in batch.items))
        token = f"{batch.request_id}:{batch.epoch}:{batch.number}:"
        urls = [item.url for item in batch.items]
        try:
            async with HostGate.open(
                self._hosts, token, urls, at_once=downloads_at_once(batch, self._settings)
            ) as gate:
                tried = [(item.row, item.index, item.attempt) for item in batch.items if gate.admits(item.url)]
                if not await self._products.begin_attempts(batch.request_id, batch.epoch, tried):
                    return BatchReport((), refused=True)
                run = BatchRun(batch, self, gate, self._settings)
                report = await run.run(stopped)
        except StoreUnavailableError as error:
            logger.warning("batch deferred: %s", error, extra={"requestId": batch.request_id})
            return BatchReport(tuple(Outcome(item, Fate.DEFERRED) for item in batch.items))
        if run.hung is not None:
            logger.error("an image hung", extra={"requestId": batch.request_id, "row": run.hung.row})
            self._leave()
        return report

    def _leave(self) -> None:
        """End this process once the report is out: a thread that compresses cannot be stopped."""
        self._is_leaving = True
        timer = threading.Timer(_LEAVE_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()

    async def fetch(self, item: WorkItem) -> Download:
        """Download an image. Raises `ImageError`."""
        return await download(self._http, item.url, settings=self._settings)

    async def store(self, batch: Batch, item: WorkItem, source: Download, core: Core) -> Done:
        """Compress an image and put what came out. Raises `ImageError` or `StoreUnavailableError`."""
        loop = asyncio.get_running_loop()
        names = batch.options.output_names or [""]

        def compressed() -> list[Compressed]:
            core.compressing = (item, loop.time())
            try:
                return compress(source.data, batch.options, self._limits)
            finally:
                core.compressing = None

        async with core.turn(item):
            try:
                made = await loop.run_in_executor(self._compress_thread, compressed)
            except ImageError as error:
                raise ImageError(error.code, error.message, source.http_status) from error
        outputs = [_output(batch, item, name, output) for name, output in zip(names, made, strict=True)]
        for output, stored in zip(made, outputs, strict=True):
            async for attempt in _while_a_store_is_away():
                with attempt:
                    await self._objects.put(stored.key, output.data, content_type=CONTENT_TYPES[output.format])
        image = _completed(source, outputs, item.attempt)
        return Outcome(item, Fate.COMPLETED), ImageResult(item.row, item.index, image, outputs[0].key)

    def failed(self, item: WorkItem, error: ImageError) -> Done:
        """Another attempt later, or the end of an image."""
        if error.code.transient and item.attempt < self._settings.max_attempts:
            return Outcome(item, Fate.RETRY, self._delay_seconds(item, error)), None
        return Outcome(item, Fate.FAILED), ImageResult(item.row, item.index, failed_image(item, error), None)

    async def record(self, batch: Batch, done: list[Done]) -> bool | None:
        """Write results: whether Redis counted them, too; None when a newer coordinator owns them."""
        results = [(outcome.item.ordinal, result) for outcome, result in done if result is not None]
        async for attempt in _while_a_store_is_away():
            with attempt:
                ours = await self._products.record_results(
                    batch.request_id, batch.epoch, [result for _, result in results]
                )
        if not ours:
            return None
        return await self._count(batch, [CountedImage.of(ordinal, result.image) for ordinal, result in results])

    def _delay_seconds(self, item: WorkItem, error: ImageError) -> float:
        if error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, _MAX_RETRY_AFTER_SECONDS)
        return backoff_seconds(
            item.attempt,
            base_seconds=self._settings.retry_base_seconds,
            cap_seconds=self._settings.retry_cap_seconds,
        )

    async def _count(self, batch: Batch, images: list[CountedImage]) -> bool:
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
