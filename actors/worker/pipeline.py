"""The work on each image of a batch: fetch, compress, put, and record."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from actors.imaging.formats import CONTENT_TYPES, EXTENSIONS
from actors.messages import OutcomeKind, Recorded
from actors.worker.batch_run import FetchAgainError
from actors.worker.processed_image import ProcessedImage, completed
from cluster.errors import ImageError, StoreUnavailableError
from cluster.http.download import Download, download
from cluster.mongo.products import FencedWrite
from cluster.records import Image, Output, Status
from cluster.redis.progress import CountedImage
from cluster.redis.result_cache import KnownResult
from cluster.retry import while_store_away
from cluster.s3.object_writer import object_key

if TYPE_CHECKING:
    import aiohttp

    from actors.imaging.compressed import Compressed
    from actors.messages import Batch, WorkItem
    from actors.worker.compressor import Compressor
    from actors.worker.compressor_child import Compression
    from actors.worker.cpu_slot import CpuSlot
    from actors.worker.reuse import Reuse
    from cluster.mongo.products import ProductStore
    from cluster.redis.progress import Progress
    from cluster.s3.object_writer import ObjectWriter
    from cluster.settings import Settings

_STORE_AWAY_TIMEOUT_SECONDS = 60  # in which a write is tried again
logger = logging.getLogger("darkroom.image_worker")


class Stores(NamedTuple):
    """The connections and the compressor that a worker process keeps from one batch to the next."""

    http: aiohttp.ClientSession
    objects: ObjectWriter
    products: ProductStore
    progress: Progress
    compressor: Compressor


class ImagePipeline:
    """The pipeline of the images of one batch.

    Args:
        stores: The source and the targets of images.
        reuse: The results of earlier requests. None when nothing may be reused.
        settings: The limits of an image.
    """

    def __init__(self, stores: Stores, reuse: Reuse | None, settings: Settings) -> None:
        self._stores = stores
        self._reuse = reuse
        self._settings = settings

    async def fetch(self, item: WorkItem) -> Download:
        """Download an image. Raises `ImageError`."""
        etag = None if self._reuse is None else self._reuse.etag(item.url)
        return await download(self._stores.http, item.url, settings=self._settings, known_etag=etag)

    async def store(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> ProcessedImage:
        """Compress an image and put its outputs, or copy those of an earlier image with the same source.

        Raises:
            ImageError: It cannot be compressed.
            StartError: No compressor can be started now.
            StoreUnavailableError: S3 does not answer.
            FetchAgainError: The source has sent no bytes, and there is no earlier result.
        """
        reuse, content = self._reuse, ""
        if reuse is not None:
            content = reuse.content_of(item, source)
            known = await reuse.copy_result(item, content)
            if known is not None:
                return completed(item, _image(source.http_status, known, item.attempt))
            if source.not_modified:  # the earlier result was deleted since
                reuse.forget(item.url)
                raise FetchAgainError
        compression = await self._compress(batch, item, source, cpu_slot)
        result = KnownResult(bytes_in=len(source.data), outputs=await self._put(batch, item, compression.outputs))
        if reuse is not None:
            reuse.learn(content, result)
        return completed(item, _image(source.http_status, result, item.attempt, compression.cpu_seconds))

    async def _compress(self, batch: Batch, item: WorkItem, source: Download, cpu_slot: CpuSlot) -> Compression:
        def compress_in_slot() -> Compression:
            with cpu_slot.compressing(item):
                return self._stores.compressor.compress(source.data, batch.options)

        async with cpu_slot.turn(item):
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._stores.compressor.thread, compress_in_slot)
            except ImageError as error:
                raise ImageError(
                    error.code, error.message, source.http_status, cpu_seconds=error.cpu_seconds
                ) from error

    def end_overrun(self) -> None:
        """End a compression that takes more time or memory than it may. Its image fails."""
        self._stores.compressor.end_overrun()

    def abandon_compression(self) -> None:
        """End a compression whose result nobody waits for."""
        self._stores.compressor.abandon()

    async def _put(self, batch: Batch, item: WorkItem, compressed: list[Compressed]) -> list[Output]:
        names = batch.options.output_names or [""]
        outputs = [_output(batch, item, name, output) for name, output in zip(names, compressed, strict=True)]
        for output, stored in zip(compressed, outputs, strict=True):
            async for write in while_store_away(_STORE_AWAY_TIMEOUT_SECONDS):
                with write:
                    await self._stores.objects.put(stored.key, output.data, content_type=CONTENT_TYPES[output.format])
        return outputs

    async def record(self, batch: Batch, images: list[ProcessedImage]) -> Recorded:
        """Write results to MongoDB, and count them in Redis. Raises `StoreUnavailableError` for MongoDB."""
        results = [(outcome.item.ordinal, result) for outcome, result in images if result is not None]
        retried = [outcome.item.after_failure() for outcome, _ in images if outcome.kind is OutcomeKind.RETRY]
        async for write in while_store_away(_STORE_AWAY_TIMEOUT_SECONDS):
            with write:
                written = await self._stores.products.record_results(
                    batch.request_id, batch.epoch, [result for _, result in results], batch=batch.number
                )
                await self._stores.products.record_failures(
                    batch.request_id, batch.epoch, [each.failed for each in retried], batch=batch.number
                )
        if written is FencedWrite.REFUSED:
            return Recorded.NOT_OURS
        counting = self._count(batch, [CountedImage.of(ordinal, result.image) for ordinal, result in results])
        if self._reuse is None:
            return await counting
        return (await asyncio.gather(counting, self._reuse.keep()))[0]

    async def _count(self, batch: Batch, images: list[CountedImage]) -> Recorded:
        try:
            await self._stores.progress.count(batch.request_id, images)
        except StoreUnavailableError as error:
            logger.warning("progress not counted: %s", error, extra={"requestId": batch.request_id})
            return Recorded.UNCOUNTED
        return Recorded.COUNTED


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


def _image(http_status: int, result: KnownResult, attempt: int, cpu_seconds: float | None = None) -> Image:
    first = result.outputs[0]
    return Image(
        status=Status.COMPLETED,
        http_status=http_status,
        attempts=attempt,
        bytes_in=result.bytes_in,
        bytes_out=sum(output.bytes for output in result.outputs),
        cpu_seconds=cpu_seconds,
        width=first.width,
        height=first.height,
        format=first.format,
        quality=first.quality,
        decision=first.decision,
        outputs=result.outputs,
    )
