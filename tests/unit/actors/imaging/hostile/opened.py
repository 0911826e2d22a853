"""A handle for the worker process, which opens files and tells how each one ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.unit.actors.imaging.hostile.worker import REQUEST

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = (sys.executable, "-m", "tests.unit.actors.imaging.hostile.worker")
MAX_FILE_WALL_SECONDS = 60.0
"""The wall time after which the worker is killed. It is far more than any file may take, even on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a file ended.

    Attributes:
        code: A code, `readable`, `escaped ...` for an exception that is no `ImageError`, or `died`.
        message: The message that the catalogue's owner reads.
        cpu_seconds: The CPU time of all threads.
        peak_mebibytes: The peak of the resident memory of the whole worker.
    """

    code: str
    message: str
    cpu_seconds: float
    peak_mebibytes: float


class Worker:
    """One process for all files. After its death another one starts, so that each file is judged by itself."""

    def __init__(self) -> None:
        self.deaths = 0
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """The id of the process that opens the next file."""
        return self._process.pid

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _stop(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait()

    def start_afresh(self) -> None:
        """Start another process, with a heap that no earlier file has touched."""
        self._stop()
        self._process = self._start()

    def open(self, data: bytes, **options: object) -> Ending:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = json.dumps(options).encode()
        alarm = threading.Timer(MAX_FILE_WALL_SECONDS, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write(REQUEST.pack(len(asked), len(data)) + asked + data)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            alarm.cancel()
        return self._ending(line)

    def _ending(self, line: bytes) -> Ending:
        if line:
            answer: dict[str, Any] = json.loads(line)
            return Ending(**answer)
        self.deaths += 1
        status = self._stop()
        self._process = self._start()
        return Ending(code="died", message=f"exit status {status}", cpu_seconds=MAX_FILE_WALL_SECONDS, peak_mebibytes=0)
