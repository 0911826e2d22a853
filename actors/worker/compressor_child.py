"""One process of a compressor, as its worker sees it: started, asked for one image after another, and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import ValidationError

from actors.imaging.compressed import Compressed
from actors.worker.compressor_frames import (
    MAX_ANSWER_BYTES,
    Answer,
    FrameError,
    Greeting,
    Order,
    read_frame,
    write_frame,
)
from actors.worker.machine_memory import resident_bytes
from cluster.errors import ImageError

if TYPE_CHECKING:
    from actors.imaging.gate import Limits
    from cluster.options import ImageOptions

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # by default numpy starts threads, and a sandbox holds only later ones
_PIPE_BYTES = 1024 * 1024  # the most that Linux gives everybody; most images go through at once
_START_TIMEOUT_SECONDS = 60.0
_CPU_TICKS = slice(11, 13)  # utime and stime, counted from behind the name of the program; see proc(5)
_EXIT_TIMEOUT_SECONDS = 1.0  # from its last word to its end
logger = logging.getLogger("darkroom.compressor")


class StartError(Exception):
    """The process did not start: perhaps the machine has no memory left. No image is to blame.

    Attributes:
        seconds: The pause before another try.
    """

    seconds = 5.0

    def __init__(self, reason: str) -> None:
        super().__init__(f"the compressor did not start: {reason}")


class DiedError(Exception):
    """The process died, or its answer was none. Then it was ended.

    Attributes:
        signal: The number of the signal that ended it, or 0.
        is_first: Whether it had this image alone, so that no other one is to blame.
    """

    def __init__(self, ended_by: int, *, is_first: bool) -> None:
        super().__init__(f"the compressor ended by signal {ended_by}")
        self.signal = ended_by
        self.is_first = is_first


class Compression(NamedTuple):
    """The outputs of an image, and the CPU time that they took."""

    outputs: list[Compressed]
    cpu_seconds: float


class CompressorChild:
    """A process without network, files and secrets. One thread asks it, and any other may kill it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - for the type checker
        self._process = process
        self._orders, self._answers = process.stdin, process.stdout
        self._images = 0
        self._resident_bytes_at_first = 0

    @classmethod
    def start(cls, limits: Limits) -> Self:
        """Start a process, and wait until it has given up its rights. Raises `StartError`."""
        command = [sys.executable, "-m", "actors.worker.compressor_process", json.dumps(dataclasses.asdict(limits))]
        environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
        environment |= {**_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            process = subprocess.Popen(  # noqa: S603 - this Python, and no argument from outside
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise StartError(str(error)) from error
        child = cls(process)
        try:
            child._greet()
        except (OSError, EOFError, FrameError, ValidationError) as error:
            child.end()
            raise StartError("the worker's log says why") from error
        return child

    def _greet(self) -> None:
        for pipe in (self._orders, self._answers):
            with contextlib.suppress(OSError):  # the user has many large pipes already
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        ready = select.poll()
        ready.register(self._answers, select.POLLIN)
        if not ready.poll(_START_TIMEOUT_SECONDS * 1_000):
            raise FrameError("the process said nothing in time")
        head, _ = read_frame(self._answers, max_body_bytes=0)
        not_closed = Greeting.model_validate_json(head).not_closed
        if not_closed:
            logger.warning("the kernel lacks %s, so decoders have more rights", " and ".join(not_closed))
        self._resident_bytes_at_first = self.resident_bytes()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def resident_bytes(self) -> int:
        """Return its resident set size. Raises `OSError` when it has ended."""
        return resident_bytes(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads. Raises `OSError` when it has ended."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[_CPU_TICKS])) / os.sysconf("SC_CLK_TCK")

    def kept_bytes(self) -> int:
        """Return the memory that it has kept of its images. Raises `OSError` when it has ended."""
        return self.resident_bytes() - self._resident_bytes_at_first

    def compress(self, data: bytes, options: ImageOptions) -> Compression:
        """Return smaller copies of an image.

        Raises:
            ImageError: As `actors.imaging.compress`.
            RuntimeError: A defect, with its traceback.
            DiedError: There is no answer.
        """
        self._images += 1
        try:
            write_frame(self._orders, Order(options=options), [data])
            head, body = read_frame(self._answers, max_body_bytes=MAX_ANSWER_BYTES)
            answer = Answer.model_validate_json(head)
            outputs = _outputs(answer, body, ordered=len(options.each_output))
        except (OSError, EOFError, FrameError, ValidationError) as error:
            raise DiedError(self.end(), is_first=self._images == 1) from error
        except BaseException:  # the rest of the answer would be taken for the next one
            self.end()
            raise
        if answer.defect is not None:
            raise RuntimeError(answer.defect)
        if answer.failure is not None:
            raise ImageError(answer.failure.code, answer.failure.message, cpu_seconds=round(answer.cpu_seconds, 3))
        return Compression(outputs, round(answer.cpu_seconds, 3))

    def decodes_within(self, cpu_seconds: float, data: bytes) -> bool:
        """Decode an image alone, then end. Returns whether it took no more CPU time than this."""
        with contextlib.suppress(OSError):  # it was killed
            write_frame(self._orders, Order(decode_cpu_seconds=cpu_seconds), [data])
        return self._process.wait() != -signal.SIGPROF

    def kill(self) -> None:
        """Let it end now. Any thread may do so, at any time."""
        self._process.kill()

    def end(self) -> int:
        """End it, unless it ends by itself now. Returns the number of the signal that ended it, or 0."""
        try:
            ended_by = -self._process.wait(_EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            ended_by = 0
        self._process.kill()
        self._process.communicate()
        return max(ended_by, 0)


def _outputs(answer: Answer, body: bytes, *, ordered: int) -> list[Compressed]:
    """Return the outputs of an answer. Raises `FrameError` when it has others than were ordered, or than its files."""
    ends = list(accumulate((each.size_bytes for each in answer.outputs), initial=0))
    expected = ordered if answer.defect is None and answer.failure is None else 0
    if ends[-1] != len(body) or len(answer.outputs) != expected:
        raise FrameError("an answer has other outputs than its order, or than its files")
    return [
        Compressed(body[begin:end], each.width, each.height, each.format, each.quality, each.decision)
        for each, (begin, end) in zip(answer.outputs, pairwise(ends), strict=True)
    ]
