"""The actor through which all coordinators reach the same workers.

Ray never gives a worker process to the tasks of another detached actor. If each coordinator sent its own tasks, each
would have workers of its own in every task slot. Every request would then wait for new ones to start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import ray
from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from actors import registry
from actors.messages import Loss
from actors.registry import Pingable
from actors.watchdog import WATCH_POLL_SECONDS, Watchdog
from actors.worker.task import process_images
from cluster.aio import Background, forever
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorProxy

    from actors.messages import Batch, BatchKey, BatchReport
    from actors.worker.task import BatchOwner
    from cluster.settings import Settings

logger = logging.getLogger("darkroom.worker_pool")


class WorkerPool(Pingable):
    """One for the deployment. It knows only which tasks run. When it dies, coordinators send their batches again."""

    def __init__(self, settings: Settings) -> None:
        log_as_json()
        self._settings = settings
        self._tasks: dict[BatchKey, ObjectRef[BatchReport]] = {}
        watchdog = Watchdog(settings)  # the queue manager watches all others
        self._background = Background()
        self._background.start(
            forever(
                lambda: watchdog.check([registry.QUEUE_MANAGER]),
                lambda: asyncio.sleep(WATCH_POLL_SECONDS),
                "the watchdog",
            )
        )

    @ray.method
    async def run(self, batch: Batch, coordinator: ActorProxy[BatchOwner]) -> BatchReport | Loss:
        """Do a batch in a worker. Returns its report, or how it was lost."""
        # A batch that waits for its sources takes no task slot from others. All tasks have one name: Ray keeps counters
        # of each name for ever, here, in every worker, and in the agent of each node.
        options = {"name": "images", "num_cpus": 0 if batch.is_io_bound else 1}
        task = process_images.options(**options).remote(batch, self._settings, coordinator)
        self._tasks[batch.key] = task
        try:
            report: BatchReport = await task
        except RayError as error:
            logger.warning("batch lost: %s", type(error).__name__, extra={"requestId": batch.request_id})
            return _loss(error)
        finally:
            del self._tasks[batch.key]
        return report

    @ray.method
    async def connect(self, coordinator: ActorProxy[BatchOwner]) -> None:
        """Know a coordinator before its first batch. To know it, this process asks the head node."""

    @ray.method
    async def end_worker(self, batch_key: BatchKey) -> None:
        """End the worker that has a batch, even in the middle of an image."""
        task = self._tasks.get(batch_key)
        if task is not None:
            ray.cancel(task, force=True)


def _loss(error: RayError) -> Loss:
    if isinstance(error, OutOfMemoryError):
        return Loss.OUT_OF_MEMORY
    return Loss.CRASHED if isinstance(error, WorkerCrashedError) else Loss.OTHER
