"""The connections and threads of a worker process, and the batches that it does with them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from actors.messages import Batch, BatchReport, OutcomeKind
from actors.worker.batch_run import IO_BOUND_DOWNLOADS, BatchRun, downloads_at_once
from actors.worker.compressor import Compressor
from actors.worker.host_limiter import HostLimiter
from actors.worker.pipeline import ImagePipeline, Stores
from actors.worker.reuse import Reuse
from cluster.errors import StoreUnavailableError
from cluster.http.session import guarded_session
from cluster.mongo.connection import Database
from cluster.mongo.products import FencedWrite, ProductStore
from cluster.redis.progress import Progress
from cluster.redis.result_cache import ResultCache
from cluster.redis.source_hosts import SourceHosts
from cluster.s3.object_writer import ObjectWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from actors.messages import Stop
    from cluster.http.session import Resolve
    from cluster.records import Attempt
    from cluster.settings import Settings

logger = logging.getLogger("darkroom.image_worker")


class Worker:
    """One worker process. It is made and used in one event loop.

    Args:
        settings: The settings of the deployment.
        compressor: Its compressor, which the worker closes. By default it starts a new one.
        resolve: A function from a host and a port to addresses. By default the resolver of the system's configuration.
    """

    def __init__(
        self, settings: Settings, *, compressor: Compressor | None = None, resolve: Resolve | None = None
    ) -> None:
        self._settings = settings
        at_once = max(IO_BOUND_DOWNLOADS, settings.downloads_per_task)
        self._objects = ObjectWriter(settings, max_connections=at_once)
        self._database = Database(settings)
        self._products = ProductStore(self._database)
        self._hosts = SourceHosts(settings)
        self._cache = ResultCache(settings) if settings.dedupe_seconds else None
        self._stores = Stores(
            http=guarded_session(settings, max_connections=at_once, resolve=resolve),
            objects=self._objects,
            products=self._products,
            progress=Progress(settings),
            compressor=compressor or Compressor.of(settings),
        )

    async def close(self) -> None:
        """Close all connections."""
        for each in (self._stores.http, self._objects, self._database, self._stores.progress, self._hosts):
            await each.close()
        if self._cache is not None:
            await self._cache.close()
        self._stores.compressor.close()

    async def run(self, batch: Batch, stop: Awaitable[Stop]) -> BatchReport:
        """Do a batch until it is done or must stop. No image and no absent store makes this raise."""
        stopping = asyncio.ensure_future(stop)
        try:
            return await self._run(batch, stopping)
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _run(self, batch: Batch, stop: asyncio.Future[Stop]) -> BatchReport:
        token = f"{batch.request_id}:{batch.epoch}:{batch.number}:"
        urls = [item.url for item in batch.items]
        at_once = min(batch.host_downloads, downloads_at_once(batch, self._settings))
        try:
            async with HostLimiter.open(self._hosts, token, urls, at_once=at_once) as limiter:
                if stop.done():  # before it had a task slot, or its coordinator is dead
                    return BatchReport.all(batch, OutcomeKind.RELEASED)
                tried = [item.tried for item in batch.items if limiter.allows(item.url)]
                begun = await self._products.begin_attempts(batch.request_id, batch.epoch, tried, batch=batch.number)
                if begun is FencedWrite.REFUSED:
                    return BatchReport.not_ours()
                run = BatchRun(batch, await self._pipeline(batch), limiter, self._settings)
                report = await run.run(stop)
            await self._release_attempts(batch, report, begun=tried)
        except StoreUnavailableError as error:
            logger.warning("batch came to nothing: %s", error, extra={"requestId": batch.request_id})
            return BatchReport.all(batch, OutcomeKind.STORE_AWAY)
        return report

    async def _release_attempts(self, batch: Batch, report: BatchReport, *, begun: Collection[Attempt]) -> None:
        """Take back the attempts of released images, unless an earlier batch has begun them."""
        released = [each.item.tried for each in report.of(OutcomeKind.RELEASED) if each.item.tried in begun]
        await self._products.release_attempts(batch.request_id, batch.epoch, released, batch=batch.number)

    async def _pipeline(self, batch: Batch) -> ImagePipeline:
        reuse = None if self._cache is None else Reuse(self._cache, self._objects, batch)
        if reuse is not None:
            await reuse.look_up()
        return ImagePipeline(self._stores, reuse, self._settings)
