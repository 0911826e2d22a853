"""Celery with prefork workers, a task an image, and a Redis as broker and for the results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery import Celery, group
from redis import Redis

from tests.bench.contestants import QUALITY, Coding, Done, Site, descendants, new_objects
from tests.bench.meter import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REDIS_DATABASE = 1
_RUN_SECONDS = 600
_STOP_SECONDS = 30


class CeleryPrefork:
    """Celery with prefork workers.

    Args:
        site: The site to work on.
        concurrency: The number of worker processes.
    """

    family = "celery"
    codec = "pillow"
    own = frozenset({Part.WORKERS, Part.RUNTIME, Part.REDIS})

    def __init__(self, site: Site, concurrency: int) -> None:
        self.name = f"{self.family}, concurrency {concurrency}"
        self._site = site
        self._concurrency = concurrency

    @contextmanager
    def running(self, coding: Coding) -> Iterator[_Running]:
        url = self._site.redis.url(_REDIS_DATABASE)
        with Celery("bench", broker=url, backend=url) as app, Redis.from_url(url) as redis:
            worker = subprocess.Popen(
                self._command(), env=self._site.environment(BENCH_CELERY_URL=url), stdout=subprocess.DEVNULL
            )
            try:
                yield _Running(self._site, app, worker.pid, coding)
            finally:
                _stop(worker)
                redis.flushdb()

    def _command(self) -> list[str]:
        worker = ["worker", "--pool=prefork", f"--concurrency={self._concurrency}", "--loglevel=ERROR"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "celery",
            "-A",
            "tests.bench.peers.celery_tasks",
            "-q",
            *worker,
            *quiet,
        ]


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in descendants(worker.pid):
            os.kill(pid, signal.SIGKILL)
        worker.kill()
        worker.wait()


class _Running:
    def __init__(self, site: Site, app: Celery, parent: int, coding: Coding) -> None:
        self._site = site
        self._app = app
        self._parent = parent
        self._coding = coding

    def run(self, urls: Sequence[str]) -> Done:
        prefix, images = new_objects(urls)
        options = {"optimise": self._coding is Coding.OPTIMISED}
        begun = time.monotonic()
        tasks = group(self._app.signature("process_image", (url, key, QUALITY), options) for url, key in images)
        tasks.apply_async().get(timeout=_RUN_SECONDS)
        return Done(time.monotonic() - begun, prefix)

    def members(self) -> dict[int, Part]:
        workers = dict.fromkeys(descendants(self._parent), Part.WORKERS)
        return {**self._site.members(), self._parent: Part.RUNTIME, **workers}
