"""The Ray task that does the images of a batch."""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING, Protocol

import ray

from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ray.actor import ActorProxy

    from actors.messages import Batch, BatchKey, BatchReport, Stop
    from cluster.settings import Settings

_KEEP_REPORT_TIMEOUT_SECONDS = 10


class BatchOwner(Protocol):
    """The coordinator that sent a batch, as its task sees it."""

    @ray.method
    async def wait_for_stop(self, request_id: str, batch_number: int) -> Stop:
        """Return when the batch is to end early."""


class ReportKeeper(Protocol):
    """The worker pool, as a task sees it."""

    @ray.method
    async def keep_report(self, batch_key: BatchKey, report: BatchReport) -> None:
        """Keep the report of a batch whose worker ends before its task does."""


@ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
def process_images(
    batch: Batch, settings: Settings, coordinator: ActorProxy[BatchOwner], pool: ActorProxy[ReportKeeper]
) -> BatchReport:
    """Do a batch, in a worker process that keeps its connections from one batch to the next."""
    process = _process(settings)
    report = process.run(batch, coordinator.wait_for_stop.remote(batch.request_id, batch.number))
    if process.is_spent:
        # Within the task: after it, Ray would give this process another one at once.
        try:
            ray.get(pool.keep_report.remote(batch.key, report), timeout=_KEEP_REPORT_TIMEOUT_SECONDS)
        finally:
            os._exit(1)
    return report


class _Process:
    """The event loop of a worker process, which it keeps from one batch to the next."""

    def __init__(self, settings: Settings) -> None:
        # Imported here, because a coordinator sends this task and needs none of the codecs.
        from actors.imaging import keep_freed_memory  # noqa: PLC0415
        from actors.worker.process import Worker  # noqa: PLC0415

        log_as_json()
        keep_freed_memory()

        async def make() -> Worker:
            return Worker(settings)

        self._runner = asyncio.Runner()
        self._worker = self._runner.run(make())

    @property
    def is_spent(self) -> bool:
        return self._worker.is_spent

    def run(self, batch: Batch, stop: Awaitable[Stop]) -> BatchReport:
        return self._runner.run(self._worker.run(batch, stop))


@functools.lru_cache(maxsize=1)
def _process(settings: Settings) -> _Process:
    return _Process(settings)
