"""Keeps Redis and MongoDB up to date about the progress of a request, beside the work, which does not wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.aio import forever
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.records import ByteCounts, Status
from cluster.redis.progress import CountedImage

if TYPE_CHECKING:
    from typing import NoReturn

    from actors.request.in_flight import BatchesInFlight
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest
    from cluster.redis.progress import Progress

_REPORT_INTERVAL_SECONDS = 0.5
_REPORTS_PER_KEEP = 10  # every five seconds, MongoDB learns what Redis says, for the length of the queue
_BEGUN = (Status.PROCESSING, Status.COMPLETED, Status.FAILED)


class ProgressReporter:
    """The progress of one request, in Redis, which may be away or empty at any time.

    Args:
        request: The request.
        in_flight: Its batches in tasks.
        progress: The progress in Redis.
        database: The truth, to count again.
    """

    def __init__(
        self, request: ProcessingRequest, in_flight: BatchesInFlight, progress: Progress, *, database: Database
    ) -> None:
        self._request_id = request.request_id
        self._counts = request.counts
        self._epoch = request.epoch
        self._in_flight = in_flight
        self._progress = progress
        self._requests = RequestStore(database)
        self._products = ProductStore(database)
        self._needs_rebuild = False
        self._has_rebuilt = False  # an earlier coordinator may have counted images that a retry has opened again
        self._reports = 0

    def request_rebuild(self) -> None:
        """Count all terminal images again with the next report, since Redis may have missed some."""
        self._needs_rebuild = True

    async def run(self) -> NoReturn:
        """Report until this task is cancelled."""
        await forever(
            self._report,
            lambda: asyncio.sleep(_REPORT_INTERVAL_SECONDS),
            "the progress reporter",
            request_id=self._request_id,
        )

    async def _report(self) -> None:
        try:
            await self._renew_or_rebuild()
            self._reports += 1
            if self._reports % _REPORTS_PER_KEEP == 0:
                await self._keep_counts()
        except Exception:
            self.request_rebuild()
            raise

    async def _renew_or_rebuild(self) -> None:
        needs_rebuild, self._needs_rebuild = self._needs_rebuild, False
        if needs_rebuild or not await self._progress.renew(
            self._request_id, self._epoch, in_flight=self._in_flight.images
        ):
            await self._rebuild()

    async def _rebuild(self) -> None:
        """Count every terminal image again. A request that has just begun has none to read."""
        await self._progress.begin_rebuild(self._request_id, self._epoch, afresh=not self._has_rebuilt)
        self._has_rebuilt = True
        async for page in self._products.pages(self._request_id, statuses=_BEGUN):
            terminal = [
                CountedImage.of(product.first_image + index, image)
                for product in page
                for index, image in enumerate(product.images)
                if image.status.terminal
            ]
            await self._progress.count(self._request_id, terminal)
        await self._progress.finish_rebuild(self._request_id, self._epoch, in_flight=self._in_flight.images)

    async def _keep_counts(self) -> None:
        """Keep in MongoDB the counts that Redis has."""
        reached = await self._progress.read(self._request_id, self._epoch)
        if reached is not None:
            counts = self._counts.model_copy(update={"completed": reached.completed, "failed": reached.failed})
            byte_counts = ByteCounts(in_=reached.bytes_in, out=reached.bytes_out)
            await self._requests.keep_counts(self._request_id, self._epoch, counts, byte_counts)
