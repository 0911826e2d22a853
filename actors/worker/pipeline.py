"""What a worker does with each image of a batch: fetch, compress, put, and record."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

import stamina

from actors.imaging import CONTENT_TYPES, EXTENSIONS, Compressed, Limits, compress
from actors.messages import Outcome, OutcomeKind, failed_image
from actors.worker.batch_run import FetchAgainError
from cluster.errors import ImageError, StoreUnavailableError
from cluster.http.download import Download, download
from cluster.mongo.products import FencedWrite, ImageResult
from cluster.records import Image, Output, Status
from cluster.redis.progress import CountedImage
from cluster.redis.result_cache import KnownResult
from cluster.retry import backoff_seconds
from cluster.s3.object_writer import object_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from concurrent.futures import Executor

    import aiohttp

    from actors.messages import Batch, WorkItem
    from actors.worker.batch_run import Done
    from actors.worker.cpu_slot import CpuSlot
    from actors.worker.reuse import Reuse
    from cluster.mongo.products import ProductStore
    from cluster.redis.progress import Progress
    from cluster.s3.object_writer import ObjectWriter
    from cluster.settings import Settings

_STORE_AWAY_SECONDS = 60
_MAX_RETRY_AFTER_SECONDS = 3600.0
logger = logging.getLogger("darkroom.image_worker")


class Stores(NamedTuple):
    """What a worker process keeps from one batch to the next."""

    http: aiohttp.ClientSession
    objects: ObjectWriter
    products: ProductStore
    progress: Progress
    compress_thread: Executor  # one thread: the task owns one CPU slot


class ImagePipeline:
    """The pipeline of the images of one batch.

    Args:
        stores: Where images come from and go to.
        reuse: What may be taken from earlier requests; None when nothing may.
        settings: The limits, and how often and when is tried again.
    """

    def __init__(self, stores: Stores, reuse: Reuse | None, settings: Settings) -> None:
        self._stores = stores
        self._reuse = reuse
        self._settings = settings
        self._limits = Limits(
            max_pixels=settings.max_pixels,
            max_side_pixels=settings.max_side_pixels,
            max_frames=settings.max_frames,
            max_buffered_pixels=settings.max_buffered_pixels,
            max_progressive_pixels=settings.max_progressive_pixels,
        )

    async def fetch(self, item: WorkItem) -> Download:
        """Download an image. Raises `ImageError`."""
        etag = None if self._reuse is None else self._reuse.etag(item.url)
        return await download(self._stores.http, item.url, settings=self._settings, known_etag=etag)

    async def store(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> Done:
        """Compress an image and put what came out, or copy what came of it earlier.

        Raises:
            ImageError: It cannot be compressed.
            StoreUnavailableError: S3 does not answer.
            FetchAgainError: The source has not sent what is needed after all.
        """
        reuse, content = self._reuse, ""
        if reuse is not None:
            content = reuse.content_of(item, source)
            known = await reuse.taken(item, content)
            if known is not None:
                return _done(item, _completed(source.http_status, known, item.attempt))
            if source.not_modified:  # what came of it was deleted since
                reuse.forget(item.url)
                raise FetchAgainError
        made = await self._compressed(batch, item, source, cpu_slot)
        result = KnownResult(bytes_in=len(source.data), outputs=await self._put(batch, item, made))
        if reuse is not None:
            reuse.learn(content, result)
        return _done(item, _completed(source.http_status, result, item.attempt))

    async def _compressed(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> list[Compressed]:
        def compressed() -> list[Compressed]:
            with cpu_slot.compressing(item):
                return compress(source.data, batch.options, self._limits)

        async with cpu_slot.turn(item):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._stores.compress_thread, compressed)
            except ImageError as error:
                raise ImageError(error.code, error.message, source.http_status) from error

    async def _put(self, batch: Batch, item: WorkItem, made: list[Compressed]) -> list[Output]:
        names = batch.options.output_names or [""]
        outputs = [_output(batch, item, name, output) for name, output in zip(names, made, strict=True)]
        for output, stored in zip(made, outputs, strict=True):
            async for attempt in _while_a_store_is_away():
                with attempt:
                    await self._stores.objects.put(stored.key, output.data, content_type=CONTENT_TYPES[output.format])
        return outputs

    def failed(self, item: WorkItem, error: ImageError) -> Done:
        """Another attempt later, or the end of an image."""
        if error.code.transient and item.failures + 1 < self._settings.max_attempts:
            return Outcome(item, OutcomeKind.RETRY, self._delay_seconds(item, error)), None
        return Outcome(item, OutcomeKind.FAILED), ImageResult(item.row, item.index, failed_image(item, error), None)

    async def record(self, batch: Batch, done: list[Done]) -> bool | None:
        """Write results: whether Redis counted them, too; None when a newer coordinator or batch has them."""
        results = [(outcome.item.ordinal, result) for outcome, result in done if result is not None]
        again = [outcome.item.again for outcome, _ in done if outcome.fate is OutcomeKind.RETRY]
        async for attempt in _while_a_store_is_away():
            with attempt:
                written = await self._stores.products.record_results(
                    batch.request_id, batch.epoch, [result for _, result in results], batch=batch.number
                )
                await self._stores.products.record_failures(
                    batch.request_id, batch.epoch, [each.failed for each in again], batch=batch.number
                )
        if written is FencedWrite.REFUSED:
            return None
        counted = self._count(batch, [CountedImage.of(ordinal, result.image) for ordinal, result in results])
        if self._reuse is None:
            return await counted
        return (await asyncio.gather(counted, self._reuse.keep()))[0]

    def _delay_seconds(self, item: WorkItem, error: ImageError) -> float:
        if error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, _MAX_RETRY_AFTER_SECONDS)
        return backoff_seconds(
            item.failures + 1,
            base_seconds=self._settings.retry_base_seconds,
            cap_seconds=self._settings.retry_cap_seconds,
        )

    async def _count(self, batch: Batch, images: list[CountedImage]) -> bool:
        try:
            await self._stores.progress.count(batch.request_id, images)
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


def _completed(http_status: int, result: KnownResult, attempt: int) -> Image:
    first = result.outputs[0]
    return Image(
        status=Status.COMPLETED,
        http_status=http_status,
        attempts=attempt,
        bytes_in=result.bytes_in,
        bytes_out=sum(output.bytes for output in result.outputs),
        width=first.width,
        height=first.height,
        format=first.format,
        quality=first.quality,
        decision=first.decision,
        outputs=result.outputs,
    )


def _done(item: WorkItem, image: Image) -> Done:
    key = image.outputs[0].key
    if not image.outputs[0].name:  # the only one: the image itself says all about it
        image = image.model_copy(update={"outputs": []})
    return Outcome(item, OutcomeKind.COMPLETED), ImageResult(item.row, item.index, image, key)
