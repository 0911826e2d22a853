"""The actor that brings one admitted request to its end."""

from __future__ import annotations

import asyncio
import contextlib
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
_BEGUN = (Status.PROCESSING, Status.COMPLETED, Status.FAILED)
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
        self._epoch: int | None = None  # None until this process has claimed the request
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
        await self._say_goodbye()

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
            return await self._requests.claimed(self._request_id, self._epoch)
        request = await self._requests.claim(self._request_id)
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

    async def _say_goodbye(self) -> None:
        try:
            for name in (registry.WEBHOOK, registry.QUEUE_MANAGER):
                actor = await asyncio.to_thread(registry.find, name, self._settings)
                if actor is not None:
                    actor.notify.remote()
        except Exception:  # they look by themselves
            logger.exception("nobody was notified", extra={"requestId": self._request_id})
        finally:
            # Only a call to the actor can end it; this background task cannot.
            ray.get_runtime_context().current_actor.leave.remote()
