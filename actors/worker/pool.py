"""The actor through which all coordinators reach the same workers.

Ray gives the worker processes of one detached actor's tasks to no other detached actor. If each coordinator sent its
own tasks, each would have workers of its own, on every core, and every request would wait for new ones to start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import ray
from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from actors import registry
from actors.messages import Loss
from actors.registry import Pingable
from actors.watchdog import WATCH_SECONDS, Watchdog
from actors.worker.task import process_images
from cluster.aio import Background, forever
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorProxy

    from actors.messages import Batch, BatchKey, BatchReport
    from actors.worker.task import BatchOwner, ReportKeeper
    from cluster.settings import Settings

_GRACE_SECONDS = 10.0  # for a batch to find out that nobody waits for it any more
logger = logging.getLogger("darkroom.worker_pool")


class WorkerPool(Pingable):
    """One for the deployment. It knows only which tasks run; who sent them sends them again when it dies."""

    def __init__(self, settings: Settings) -> None:
        log_as_json()
        self._settings = settings
        self._tasks: dict[BatchKey, ObjectRef[BatchReport]] = {}
        self._last_reports: dict[BatchKey, BatchReport] = {}  # of workers that end with their batch
        self._self = cast("ActorProxy[ReportKeeper]", ray.get_runtime_context().current_actor)
        watchdog = Watchdog(settings)  # the queue manager watches all others
        self._background = Background()
        self._background.start(
            forever(
                lambda: watchdog.check([registry.QUEUE_MANAGER]), lambda: asyncio.sleep(WATCH_SECONDS), "the watchdog"
            )
        )

    @ray.method
    async def run(self, batch: Batch, coordinator: ActorProxy[BatchOwner]) -> BatchReport | Loss:
        """Do a batch in a worker, and say what became of it, or how it was lost."""
        # Who waits for its sources takes no core from others. One name for all: Ray keeps counters of each for ever,
        # here, in every worker, and in the agent of each node.
        options = {"name": "images", "num_cpus": 0 if batch.is_slow else 1}
        task = process_images.options(**options).remote(batch, self._settings, coordinator, self._self)
        self._tasks[batch.key] = task
        try:
            report: BatchReport = await task
        except RayError as error:
            if batch.key in self._last_reports:
                return self._last_reports[batch.key]
            logger.warning("batch lost: %s", type(error).__name__, extra={"requestId": batch.request_id})
            return _loss(error)
        finally:
            del self._tasks[batch.key]
            self._last_reports.pop(batch.key, None)
        return report

    @ray.method
    async def keep_report(self, batch_key: BatchKey, report: BatchReport) -> None:
        """The report of a batch whose worker ends before its task does."""
        if batch_key in self._tasks:
            self._last_reports[batch_key] = report

    @ray.method
    async def meet(self, coordinator: ActorProxy[BatchOwner]) -> None:
        """Know a coordinator before its first batch: what it takes to call it is asked of the head."""

    @ray.method
    async def end_worker(self, batch_key: BatchKey) -> None:
        """End the worker that has a batch, whatever it is doing."""
        self._end_worker(batch_key)

    @ray.method
    async def end_earlier(self, first: BatchKey) -> None:
        """End the workers of all batches that a request had before this one, of any of its coordinators.

        Nobody waits for them, so nobody else would see that one hangs. The others end by themselves before.
        """
        await asyncio.sleep(_GRACE_SECONDS)
        for key in [each for each in self._tasks if each.request_id == first.request_id and each < first]:
            logger.warning("a worker hangs in a batch of before; it is ended", extra={"requestId": first.request_id})
            self._end_worker(key)

    def _end_worker(self, batch_key: BatchKey) -> None:
        task = self._tasks.get(batch_key)
        if task is not None:
            ray.cancel(task, force=True)


def _loss(error: RayError) -> Loss:
    if isinstance(error, OutOfMemoryError):
        return Loss.OUT_OF_MEMORY
    return Loss.CRASHED if isinstance(error, WorkerCrashedError) else Loss.OTHER
