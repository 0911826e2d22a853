"""Node with BullMQ and sharp, on a Redis."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis

from tests.bench.contestants import IN_FLIGHT, QUALITY, Coding, Done, LineProcess, Site, new_objects
from tests.bench.meter import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = Path(__file__).parent / "node"
_REDIS_DATABASE = 2


def has_node() -> bool:
    """Return whether Node is on this machine. If so, install its packages if they are missing."""
    if shutil.which("node") is None:
        return False
    if not (FOLDER / "node_modules").is_dir():
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=FOLDER, stdout=subprocess.DEVNULL, check=True)
    return True


def command(program: str, *arguments: str) -> list[str]:
    """Return the command of a program in the folder."""
    return ["node", str(FOLDER / program), *arguments]


class NodeBullMQ:
    """Node with BullMQ and sharp.

    Args:
        site: The site to work on.
        processes: The number of workers. Together they have 16 images in flight.
    """

    family = "node"
    codec = "sharp"
    own = frozenset({Part.WORKERS, Part.CLIENT, Part.REDIS})

    def __init__(self, site: Site, processes: int) -> None:
        self.name = f"{self.family}, {processes} process{'es' * (processes > 1)}"
        self._site = site
        self._processes = processes

    @contextmanager
    def running(self, coding: Coding) -> Iterator[_Running]:
        url = self._site.redis.url(_REDIS_DATABASE)
        environment = self._site.environment(BENCH_REDIS_URL=url, NODE_ENV="production", NODE_NO_WARNINGS="1")
        work = command("worker.mjs", str(IN_FLIGHT // self._processes))
        with Redis.from_url(url) as redis, ExitStack() as stack:
            stack.callback(redis.flushdb)
            workers = [stack.enter_context(LineProcess(work, environment=environment)) for _ in range(self._processes)]
            client = stack.enter_context(LineProcess(command("submit.mjs"), environment=environment))
            for worker in workers:
                worker.answer()  # it is ready
            yield _Running(self._site, workers, client, coding)


class _Running:
    def __init__(self, site: Site, workers: list[LineProcess], client: LineProcess, coding: Coding) -> None:
        self._site = site
        self._workers = workers
        self._client = client
        self._coding = coding

    def run(self, urls: Sequence[str]) -> Done:
        prefix, images = new_objects(urls)
        begun = time.monotonic()
        self._client.ask({"images": images, "quality": QUALITY, "optimise": self._coding is Coding.OPTIMISED})
        return Done(time.monotonic() - begun, prefix)

    def members(self) -> dict[int, Part]:
        workers = {worker.pid: Part.WORKERS for worker in self._workers}
        return {**self._site.members(), self._client.pid: Part.CLIENT, **workers}
