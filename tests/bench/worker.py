"""The CPU that a worker takes outside decoding and encoding: one worker on real stores, without Ray around it."""

from __future__ import annotations

import asyncio
import atexit
import os
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from actors.imaging.allocator import keep_freed_memory
from actors.messages import Batch, WorkItem
from actors.worker.process import Worker
from cluster.mongo.connection import Database
from tests.bench.pictures import product_photographs
from tests.bench.report import at_most
from tests.bench.source import Source
from tests.support.requests import committed
from tests.support.service import running_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages import Stop
    from cluster.records import ProcessingRequest
    from cluster.settings import Settings

BATCH_IMAGES = 64
ROUNDS = 5
MAX_OUTSIDE_CODEC_MS = 5.0


def run() -> None:
    """Print the CPU time an image of each round."""
    keep_freed_memory()
    with (
        Source(product_photographs()) as source,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_service(Path(folder)) as service,
    ):
        os.environ.update({name: value for name, value in service.stack.environment.items() if name[:4] == "AWS_"})
        settings = service.settings.model_copy(
            update={"mongo_database": "bench", "download_timeout_seconds": 30, "connect_timeout_seconds": 5}
        )
        requests = asyncio.run(_requests(settings, ROUNDS + 1))
        runner = asyncio.Runner()
        worker = runner.run(_worker(settings))
        atexit.register(id, (runner, worker))  # like Ray's, it keeps its connections as long as its process lives
        print("### CPU of one worker, ms an image, JPEG to JPEG, quality 75, optimised coding")
        print()
        outside_codec_ms: list[float] = []
        print("| round | all | decode + encode | the rest |")
        print("| --- | ---: | ---: | ---: |")
        for number, request in enumerate(requests):  # the first one warms up
            batch = _batch(request, source.urls(BATCH_IMAGES))
            begun, codec_begun = time.process_time(), _codec_cpu_seconds()
            report = runner.run(worker.run(batch, _never()))
            used, codec = time.process_time() - begun, _codec_cpu_seconds() - codec_begun
            if len(report.outcomes) != BATCH_IMAGES:
                raise RuntimeError(f"the batch was not done: {report}")
            figures = [1000 * seconds / BATCH_IMAGES for seconds in (used, codec, used - codec)]
            if number:
                outside_codec_ms.append(figures[-1])
                print(f"| {number} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
        print()
        goal = "CPU of a worker outside the codec, ms an image"
        print("- " + at_most(goal, median(outside_codec_ms), MAX_OUTSIDE_CODEC_MS) + "\n", flush=True)


def _codec_cpu_seconds() -> float:
    """Return the CPU time of the threads that compress."""
    threads = {thread.native_id for thread in threading.enumerate() if thread.name.startswith("compress")}
    return sum(each.user_time + each.system_time for each in psutil.Process().threads() if each.id in threads)


async def _requests(settings: Settings, count: int) -> list[ProcessingRequest]:
    async with Database.open(settings) as database:
        await database.ensure_indexes()
        return [await committed(database, products=BATCH_IMAGES) for _ in range(count)]


def _batch(request: ProcessingRequest, urls: Sequence[str]) -> Batch:
    items = [WorkItem(row=2 + place, index=0, ordinal=place, url=url, attempt=1) for place, url in enumerate(urls)]
    return Batch(request.request_id, request.owner, request.epoch, 1, request.options, tuple(items))


async def _worker(settings: Settings) -> Worker:
    return Worker(settings)


async def _never() -> Stop:
    await asyncio.Event().wait()
    raise AssertionError
