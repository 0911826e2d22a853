"""The actor that brings one admitted request to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import ray
import ray.actor

from actors import registry
from actors.backoff import backoff_seconds
from actors.callback import callback
from actors.dispatcher import Dispatcher
from actors.process_images import process_images
from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.progress import CountedImage, Progress
from cluster.records import Reason, Status, utc_now
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from actors.work import Batch, BatchReport
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

_REPORT_SECONDS = 0.5
_STORE_RETRY_CAP_SECONDS = 10
_REBUILD_CHUNK = 1000
logger = logging.getLogger("darkroom.coordinator")


class RequestCoordinator:
    """One request. Ray reruns the constructor after a crash: everything is read from MongoDB again.

    Args:
        request_id: The request; it is `processing` already.
        window: How many batches may be in flight, until the queue manager says otherwise.
        settings: The settings.
    """

    def __init__(self, request_id: str, window: int, settings: Settings) -> None:
        log_as_json()
        self._request_id = request_id
        self._settings = settings
        self._window = window
        database = Database(settings)
        self._requests = RequestStore(database)
        self._products = ProductStore(database)
        self._progress = Progress(settings)
        self._dispatcher: Dispatcher | None = None
        self._task = asyncio.get_running_loop().create_task(self._run_to_the_end())

    async def set_window(self, batches: int) -> int:
        """How many batches may be in flight from now on.

        Returns:
            How many images are in tasks now.
        """
        self._window = batches
        if self._dispatcher is None:
            return 0
        self._dispatcher.set_window(batches)
        return self._dispatcher.images_in_flight

    async def leave(self) -> None:
        """End this process and free the actor's name."""
        ray.actor.exit_actor()

    async def _run_to_the_end(self) -> None:
        attempt = 1
        while True:
            try:
                await self._coordinate()
                break
            except StaleEpochError:
                logger.info("a newer coordinator owns the request", extra={"requestId": self._request_id})
                break
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error, extra={"requestId": self._request_id})
            except Exception:  # a coordinator must not end before its request
                logger.exception("coordination failed; starting over", extra={"requestId": self._request_id})
            await asyncio.sleep(backoff_seconds(attempt, base_seconds=1, cap_seconds=_STORE_RETRY_CAP_SECONDS))
            attempt += 1
        self._say_goodbye()

    async def _coordinate(self) -> None:
        request = await self._requests.claim(self._request_id)
        if request is None:
            return
        await self._products.take_over(request.request_id, request.epoch)
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

    async def _run_batch(self, batch: Batch) -> BatchReport:
        first = batch.items[0].row
        task = process_images.options(name=f"images:{batch.request_id}:{first}")
        report: BatchReport = await task.remote(batch, self._settings)
        return report

    async def _report_progress(self, request: ProcessingRequest, dispatcher: Dispatcher) -> None:
        """Keep Redis up to date; it may be away or empty at any time, and the work does not wait for it."""
        reported = -1
        while True:
            try:
                if dispatcher.progress_missed or await self._progress.read(request.request_id) is None:
                    dispatcher.progress_missed = False
                    await self._rebuild_progress(request.request_id)
                if dispatcher.images_in_flight != reported:
                    reported = dispatcher.images_in_flight
                    await self._progress.set_in_flight(request.request_id, reported)
            except StoreUnavailableError as error:
                dispatcher.progress_missed = True
                logger.warning("progress waits: %s", error, extra={"requestId": request.request_id})
            await asyncio.sleep(_REPORT_SECONDS)

    async def _rebuild_progress(self, request_id: str) -> None:
        chunk: list[CountedImage] = []
        async for product in self._products.stream(request_id):
            chunk += [
                CountedImage.of(product.first_image + index, image)
                for index, image in enumerate(product.images)
                if image.status in (Status.COMPLETED, Status.FAILED)
            ]
            if len(chunk) >= _REBUILD_CHUNK:
                await self._progress.count(request_id, chunk)
                chunk.clear()
        await self._progress.count(request_id, chunk)
        await self._progress.mark_whole(request_id)

    async def _close(self, request: ProcessingRequest) -> None:
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

    def _say_goodbye(self) -> None:
        for name, method in ((registry.WEBHOOK, "notify"), (registry.QUEUE_MANAGER, "notify")):
            actor = registry.find(name, self._settings)
            if actor is not None:
                getattr(actor, method).remote()
        # Only a call to the actor can end it; this background task cannot.
        ray.get_runtime_context().current_actor.leave.remote()
