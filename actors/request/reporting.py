"""Keeps the stores up to date about how far a request is, beside the work, which does not wait for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster.errors import StoreUnavailableError
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.records import ByteCounts, Status
from cluster.redis.progress import CountedImage

if TYPE_CHECKING:
    from actors.request.dispatcher import Dispatcher
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest
    from cluster.redis.progress import Progress

_REPORT_SECONDS = 0.5
_REPORTS_PER_KEEP = 10  # every five seconds, MongoDB learns what Redis says, for the length of the queue
_BEGUN = (Status.PROCESSING, Status.COMPLETED, Status.FAILED)
logger = logging.getLogger("darkroom.coordinator")


class ProgressReporter:
    """The progress of one request, in Redis, which may be away or empty at any time.

    Args:
        request: The request.
        dispatcher: Who works on it.
        progress: Where its progress goes.
        database: What is true.
    """

    def __init__(
        self, request: ProcessingRequest, dispatcher: Dispatcher, progress: Progress, *, database: Database
    ) -> None:
        self._request_id = request.request_id
        self._counts = request.counts
        self._epoch = request.epoch
        self._dispatcher = dispatcher
        self._has_rebuilt = False  # an earlier coordinator may have counted what a retry has opened again
        self._progress = progress
        self._requests = RequestStore(database)
        self._products = ProductStore(database)

    async def run(self) -> None:
        """Report until it is cancelled."""
        reports = 0
        while True:
            try:
                await self._report()
                reports += 1
                if reports % _REPORTS_PER_KEEP == 0:
                    await self._keep()
            except StoreUnavailableError as error:
                self._dispatcher.progress_missed = True
                logger.warning("progress waits: %s", error, extra={"requestId": self._request_id})
            except Exception:  # progress must not stop at what we did not foresee
                self._dispatcher.progress_missed = True
                logger.exception("progress stumbled", extra={"requestId": self._request_id})
            await asyncio.sleep(_REPORT_SECONDS)

    async def _report(self) -> None:
        """Say that nothing was missed, or count all again."""
        dispatcher = self._dispatcher
        in_flight = dispatcher.in_flight.images
        if dispatcher.progress_missed or not await self._progress.renew(
            self._request_id, self._epoch, in_flight=in_flight
        ):
            dispatcher.progress_missed = False
            await self._rebuild()

    async def _rebuild(self) -> None:
        """Count every terminal image again; of a request that has just begun there is none to read."""
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
        in_flight = self._dispatcher.in_flight.images
        await self._progress.finish_rebuild(self._request_id, self._epoch, in_flight=in_flight)

    async def _keep(self) -> None:
        reached = await self._progress.read(self._request_id, self._epoch)
        if reached is not None:
            counts = self._counts.model_copy(update={"completed": reached.completed, "failed": reached.failed})
            byte_counts = ByteCounts(in_=reached.bytes_in, out=reached.bytes_out)
            await self._requests.keep_counts(self._request_id, self._epoch, counts, byte_counts)
