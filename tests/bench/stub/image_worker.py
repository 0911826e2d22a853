"""A worker that does no image: it waits as long as each would take, and records the same as a real one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.messages import Batch, BatchReport, Outcome, OutcomeKind
from cluster.errors import StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.mongo.products import FencedWrite, ImageResult, ProductStore
from cluster.records import Decision, Image, ImageFormat, Status
from cluster.redis.progress import CountedImage, Progress
from cluster.s3.object_writer import object_key

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from actors.messages import Stop
    from cluster.settings import Settings

IMAGE_SECONDS = 0.0002


class Worker:
    """A worker with the same interface as the real one."""

    def __init__(self, settings: Settings) -> None:
        self._products = ProductStore(Database(settings))
        self._progress = Progress(settings)

    async def run(self, batch: Batch, stop: Awaitable[Stop]) -> BatchReport:
        started = asyncio.get_running_loop().time()
        stopping = asyncio.ensure_future(stop)
        try:
            tried = [item.tried for item in batch.items]
            await self._products.begin_attempts(batch.request_id, batch.epoch, tried, batch=batch.number)
            await asyncio.wait([stopping], timeout=IMAGE_SECONDS * len(batch.items))
            if stopping.done():
                return BatchReport.all(batch, OutcomeKind.RELEASED)
            results = [
                ImageResult(item.row, item.index, IMAGE, object_key(batch.request_id, item.row, item.index, "jpg"))
                for item in batch.items
            ]
            written = await self._products.record_results(batch.request_id, batch.epoch, results, batch=batch.number)
            if written is FencedWrite.REFUSED:
                return BatchReport.not_ours()
            counted = [CountedImage.of(item.ordinal, IMAGE) for item in batch.items]
            await self._progress.count(batch.request_id, counted)
        except StoreUnavailableError:
            return BatchReport.all(batch, OutcomeKind.STORE_AWAY)
        finally:
            stopping.cancel()
        seconds = asyncio.get_running_loop().time() - started
        return BatchReport(tuple(Outcome(item, OutcomeKind.COMPLETED) for item in batch.items), seconds)


IMAGE = Image(
    status=Status.COMPLETED,
    http_status=200,
    attempts=1,
    bytes_in=500_000,
    bytes_out=200_000,
    width=1936,
    height=1290,
    format=ImageFormat.JPEG,
    quality=75,
    decision=Decision.COMPRESSED,
)
