"""The Ray task that does the images of a batch."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Protocol

import ray

from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ray.actor import ActorProxy

    from actors.messages import Batch, BatchReport, Stop
    from cluster.settings import Settings


class BatchOwner(Protocol):
    """The coordinator that sent a batch, as its task sees it."""

    @ray.method
    async def wait_for_stop(self, request_id: str, batch_number: int) -> Stop:
        """Return when the batch is to end early."""


@ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
def process_images(batch: Batch, settings: Settings, coordinator: ActorProxy[BatchOwner]) -> BatchReport:
    """Do a batch, in a worker process that keeps its connections from one batch to the next."""
    stop = coordinator.wait_for_stop.remote(batch.request_id, batch.number)
    return _process(settings).run(batch, stop)


class _Process:
    """The event loop of a worker process, which it keeps from one batch to the next."""

    def __init__(self, settings: Settings) -> None:
        # Imported here, because a coordinator sends this task and needs no connection of a worker.
        from actors.worker.compressor import Compressor  # noqa: PLC0415

        log_as_json()
        compressor = Compressor.of(settings)  # it starts beside the next imports

        from actors.worker.process import Worker  # noqa: PLC0415

        async def make() -> Worker:
            return Worker(settings, compressor=compressor)

        self._runner = asyncio.Runner()
        self._worker = self._runner.run(make())

    def run(self, batch: Batch, stop: Awaitable[Stop]) -> BatchReport:
        return self._runner.run(self._worker.run(batch, stop))


@functools.lru_cache(maxsize=1)
def _process(settings: Settings) -> _Process:
    return _Process(settings)
