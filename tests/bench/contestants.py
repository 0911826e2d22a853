"""The base of all contestants: a source, a bucket, a way to run, and processes that play parts."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

import psutil

from deployments.local import processes
from deployments.local.state import State
from tests.bench.meter import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from tests.bench.peer_redis import PeerRedis
    from tests.bench.source import Source
    from tests.support.service import Service

QUALITY = 75
IN_FLIGHT = 16
_RAY = "ray"
# The tasks' own names, or that of their function, or that of workers between two tasks: no others are ever idle.
_RAY_WORKER_TITLES = (b"ray::images:", b"ray::process_images", b"ray::IDLE")


class Coding(StrEnum):
    """The coding of a JPEG's coefficients."""

    BASELINE = "baseline"  # with the Huffman tables of the standard
    OPTIMISED = "optimised"  # with tables made for the picture


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run.

    Attributes:
        seconds: From the request for it to the last result.
        prefix: The prefix of the outputs in the bucket. Behind it come the image's number, a slash and a name.
    """

    seconds: float
    prefix: str


def new_objects(urls: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return a prefix that no run had before, and each URL with the key of its output."""
    prefix = f"bench-{uuid.uuid4().hex}"
    return prefix, [(url, f"{prefix}/{number}/0.jpg") for number, url in enumerate(urls)]


class Running(Protocol):
    """A contestant's processes, started."""

    def run(self, urls: Sequence[str]) -> Done:
        """Do these images and return when all of them are in the bucket."""

    def members(self) -> dict[int, Part]:
        """Return the processes of now."""


class Contestant(Protocol):
    """One way to do the work."""

    family: str
    """The name that all its variants share. The fastest variant counts."""
    name: str
    codec: str
    """The library that decodes and encodes, as `tests.bench.codec` knows it."""
    own: frozenset[Part]
    """The parts that an operator would have to run for it, beside S3."""

    def running(self, coding: Coding) -> AbstractContextManager[Running]:
        """Start its processes for a block, and stop them."""


@dataclass(frozen=True)
class Site:
    """The service and the source that all contestants share, and the Redis of the peers."""

    service: Service
    source: Source
    redis: PeerRedis

    @property
    def bucket(self) -> str:
        return self.service.settings.s3_bucket

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment for a process of a contestant."""
        keys = {name: value for name, value in self.service.stack.environment.items() if name.startswith("AWS_")}
        return {
            **os.environ,
            **keys,
            "BENCH_S3_ENDPOINT": self.service.settings.s3_endpoint_url or "",
            "BENCH_S3_REGION": self.service.settings.s3_region,
            "BENCH_BUCKET": self.bucket,
            **more,
        }

    def members(self) -> dict[int, Part]:
        """Return the shared processes. Ray is not one: it is Darkroom's, and stands still while others run."""
        found = {os.getpid(): Part.BENCHMARK, self.source.pid: Part.SOURCE, self.redis.pid: Part.REDIS}
        home = self.service.stack.home
        for name, started in State.read(home.state_file).servers.items():
            if name != _RAY:
                found |= {each.pid: Part(name) for each in processes.process_tree(started.process, home.path)}
        return found

    def ray_members(self) -> dict[int, Part]:
        """Return Ray's processes. A worker is known by its title."""
        is_worker = {each.pid: _command_line(each.pid).startswith(_RAY_WORKER_TITLES) for each in self.ray_processes()}
        return {pid: Part.WORKERS if worker else Part.RUNTIME for pid, worker in is_worker.items()}

    def ray_processes(self) -> list[processes.ProcessId]:
        home = self.service.stack.home
        return processes.process_tree(State.read(home.state_file).servers[_RAY].process, home.path)


class LineProcess:
    """A child that answers every line of JSON with one, until its input ends. A context ends it with the block."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.__exit__(kind, error, trace)  # ends its input, and waits

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, job: Mapping[str, object]) -> None:
        """Give the child a job. Another may be given before the answer is read."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:  # noqa: ANN401 - JSON
        """Return the next answer.

        Raises:
            RuntimeError: The child has ended. The reason is on its standard error.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with exit code {self._process.wait()}")
        return json.loads(line)

    def ask(self, job: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
        """Give the child a job, and return the answer."""
        self.send(job)
        return self.answer()


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _command_line(pid: int) -> bytes:
    try:
        return b" ".join(part.encode() for part in psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return b""
