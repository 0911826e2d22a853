"""The ceiling: the same bytes fetched, compressed and put by the shortest loop, which keeps no records at all."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.bench.contestants import IN_FLIGHT, QUALITY, Coding, Done, LineProcess, Site, new_objects
from tests.bench.meter import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_THREADS = 2


class Ceiling:
    """The shortest loop.

    Args:
        site: The site to work on.
        processes: 1 with two threads, or 2 with one each.
    """

    family = "ceiling"
    codec = "pyvips"
    own = frozenset({Part.WORKERS})

    def __init__(self, site: Site, processes: int) -> None:
        self.name = f"{self.family}, {processes} process{'es' * (processes > 1)}"
        self._site = site
        self._processes = processes

    @contextmanager
    def running(self, coding: Coding) -> Iterator[_Running]:
        threads = str(_THREADS // self._processes)
        command = [sys.executable, "-m", "tests.bench.peers.ceiling_worker", threads]
        with ExitStack() as stack:
            started = [
                stack.enter_context(LineProcess(command, environment=self._site.environment()))
                for _ in range(self._processes)
            ]
            yield _Running(self._site, started, coding)


class _Running:
    def __init__(self, site: Site, workers: list[LineProcess], coding: Coding) -> None:
        self._site = site
        self._workers = workers
        self._coding = coding

    def run(self, urls: Sequence[str]) -> Done:
        prefix, images = new_objects(urls)
        begun = time.monotonic()
        count = len(self._workers)
        for place, worker in enumerate(self._workers):
            worker.send(
                {
                    "images": images[place::count],
                    "inFlight": IN_FLIGHT // count,
                    "settings": {"quality": QUALITY, "optimise": self._coding is Coding.OPTIMISED},
                }
            )
        for worker in self._workers:
            worker.answer()
        return Done(time.monotonic() - begun, prefix)

    def members(self) -> dict[int, Part]:
        return {**self._site.members(), **{worker.pid: Part.WORKERS for worker in self._workers}}
