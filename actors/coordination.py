"""Bringing one admitted request to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from actors.backoff import backoff_seconds
from actors.callback import callback
from actors.dispatcher import Dispatcher
from actors.process_images import process_images
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.progress import CountedImage
from cluster.records import Reason, Status, utc_now

if TYPE_CHECKING:
    from actors.work import Batch, BatchReport
    from cluster.mongo.connection import Database
    from cluster.progress import Progress
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_REPORT_SECONDS = 0.5
_STORE_RETRY_CAP_SECONDS = 10
_BEGUN = (Status.PROCESSING, Status.COMPLETED, Status.FAILED)
logger = logging.getLogger("darkroom.coordinator")


class Coordination:
    """The work of a coordinator on one request.

    Args:
        request_id: The request; it is `processing` already.
        settings: The settings.
        database: Of the deployment.
        progress: The same.
    """

    def __init__(self, request_id: str, settings: Settings, database: Database, progress: Progress) -> None:
        self.request_id = request_id
        self._settings = settings
        self._window = 0  # until the queue manager says so
        self._requests = RequestStore(database)
        self._products = ProductStore(database)
        self._progress = progress
        self._dispatcher: Dispatcher | None = None
        self._epoch: int | None = None  # None until this process has claimed the request

    def set_window(self, batches: int) -> int:
        """How many batches may be in flight from now on.

        Returns:
            How many images are in tasks now.
        """
        self._window = batches
        if self._dispatcher is None:
            return 0
        self._dispatcher.set_window(batches)
        return self._dispatcher.images_in_flight

    async def run(self) -> None:
        """Return when the request is closed, or a newer coordinator has it; stores may be away meanwhile."""
        attempt = 1
        while True:
            try:
                await self._coordinate()
                break
            except StaleEpochError:
                logger.info("a newer coordinator owns the request", extra={"requestId": self.request_id})
                break
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error, extra={"requestId": self.request_id})
            except Exception:  # a coordinator must not end before its request
                logger.exception("coordination failed; starting over", extra={"requestId": self.request_id})
            await asyncio.sleep(backoff_seconds(attempt, base_seconds=1, cap_seconds=_STORE_RETRY_CAP_SECONDS))
            attempt += 1

    async def _coordinate(self) -> None:
        request = await self._claim()
        if request is None:
            return
        await self._products.take_over(request.request_id, request.epoch)
        await self._products.settle(request.request_id, request.epoch)
        self._dispatcher = Dispatcher(
            request,
            requests=self._requests,
            products=self._products,
            run_batch=self._run_batch,
            settings=self._settings,
        )
        self._dispatcher.set_window(self._window)
        reporter = asyncio.create_task(self._report_progress(request, self._dispatcher))
        try:
            await self._dispatcher.run()
        finally:
            reporter.cancel()
        await self._close(request)

    async def _claim(self) -> ProcessingRequest | None:
        """The request, claimed once for the life of this process: a second claim could take it from a successor."""
        if self._epoch is not None:
            return await self._requests.claimed(self.request_id, self._epoch)
        request = await self._requests.claim(self.request_id)
        self._epoch = None if request is None else request.epoch
        return request

    async def _run_batch(self, batch: Batch) -> BatchReport:
        first = batch.items[0].row
        task = process_images.options(name=f"images:{batch.request_id}:{first}")
        report: BatchReport = await task.remote(batch, self._settings)
        return report

    async def _report_progress(self, request: ProcessingRequest, dispatcher: Dispatcher) -> None:
        """Keep Redis up to date; it may be away or empty at any time, and the work does not wait for it."""
        token = str(request.epoch)
        while True:
            try:
                in_flight = dispatcher.images_in_flight
                if dispatcher.progress_missed or not await self._progress.renew(
                    request.request_id, token, in_flight=in_flight
                ):
                    dispatcher.progress_missed = False
                    await self._rebuild_progress(request.request_id, token, dispatcher)
            except StoreUnavailableError as error:
                dispatcher.progress_missed = True
                logger.warning("progress waits: %s", error, extra={"requestId": request.request_id})
            except Exception:  # progress must not stop at what we did not foresee
                dispatcher.progress_missed = True
                logger.exception("progress stumbled", extra={"requestId": request.request_id})
            await asyncio.sleep(_REPORT_SECONDS)

    async def _rebuild_progress(self, request_id: str, token: str, dispatcher: Dispatcher) -> None:
        """Count every terminal image again; of a request that has just begun there is none to read."""
        await self._progress.begin_rebuild(request_id, token)
        async for products in self._products.pages(request_id, statuses=_BEGUN):
            terminal = [
                CountedImage.of(product.first_image + index, image)
                for product in products
                for index, image in enumerate(product.images)
                if image.status in (Status.COMPLETED, Status.FAILED)
            ]
            await self._progress.count(request_id, terminal)
        await self._progress.finish_rebuild(request_id, token, in_flight=dispatcher.images_in_flight)

    async def _close(self, request: ProcessingRequest) -> None:
        await self._products.settle(request.request_id, request.epoch)
        tally, byte_counts = await self._products.tally(request.request_id)
        counts = request.counts.model_copy(update={"completed": tally.completed, "failed": tally.failed})
        if counts.completed + counts.failed != counts.images:
            message = f"{counts.images - counts.completed - counts.failed} images are not terminal"
            raise RuntimeError(message)
        closed = request.model_copy(
            update={
                "status": Status.COMPLETED if counts.completed else Status.FAILED,
                "reason": None if counts.completed else Reason.ALL_IMAGES_FAILED,
                "completed_at": utc_now(),
                "counts": counts,
                "bytes": byte_counts,
                "failures": await self._products.failures(request.request_id),
            }
        )
        await self._requests.close(closed, callback(closed, public_url=self._settings.public_url))
        logger.info("request closed", extra={"requestId": closed.request_id, "status": closed.status})
        with contextlib.suppress(StoreUnavailableError):  # then its time to live ends it
            await self._progress.forget(closed.request_id)
