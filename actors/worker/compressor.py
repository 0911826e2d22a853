"""A worker's side of its compressor: the process is started, asked, watched and ended here."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import ValidationError

from actors.imaging.compressed import Compressed
from actors.imaging.gate import Limits
from actors.worker.compressor_frames import (
    MAX_ANSWER_BYTES,
    Answer,
    FrameError,
    Greeting,
    Order,
    read_frame,
    write_frame,
)
from actors.worker.machine_memory import resident_bytes, used_fraction
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from typing import IO

    from cluster.options import ImageOptions
    from cluster.settings import Settings

# Ray knows nothing of this process. Short of memory, it would end its own: workers, actors and replicas, all of them.
_MUCH_BYTES = 256 * 1024 * 1024
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_PIPE_BYTES = 1024 * 1024  # the most that Linux gives everybody; most images go through at once
_EXIT_TIMEOUT_SECONDS = 1.0  # from its last word to its end
_NO_MEMORY_MESSAGE = "The machine was short of memory when it had this image. Make it smaller, or retry it later."
_CRASH_MESSAGE = "The decoder crashed on this image. Save the image anew in an editor, and send it again."
logger = logging.getLogger("darkroom.compressor")


class Compression(NamedTuple):
    """The outputs of an image, and the CPU time that they took."""

    outputs: list[Compressed]
    cpu_seconds: float


class _Job(NamedTuple):
    since: float  # of `time.monotonic()`
    resident_bytes: int  # of the process, when the compression began


class _Running(NamedTuple):
    process: subprocess.Popen[bytes]
    orders: IO[bytes]
    answers: IO[bytes]


class Compressor:
    """A process without network, files and secrets that compresses one image at a time.

    It begins to start at once. One thread asks it, and any other may end what it does. When it has died, the next image
    starts another one.

    Args:
        limits: How large an image may be.
        max_memory_bytes: The memory that a compression may take.
        max_memory_fraction: The share of the machine's memory past which a compression that has taken much is ended.
        timeout_seconds: The time that a compression may take.
    """

    def __init__(
        self, limits: Limits, *, max_memory_bytes: int, max_memory_fraction: float, timeout_seconds: float
    ) -> None:
        self._limits = limits
        self._max_memory_bytes = max_memory_bytes
        self._max_memory_fraction = max_memory_fraction
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._job: _Job | None = None
        self._verdict: ImageError | None = None
        self.thread = ThreadPoolExecutor(1, "compress")
        """The thread that may call `compress`. The process ends with it."""
        self.thread.submit(self.start)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return a compressor with the limits of a deployment."""
        return cls(
            Limits.of(settings),
            max_memory_bytes=settings.max_image_memory_bytes,
            max_memory_fraction=settings.max_memory_fraction,
            timeout_seconds=settings.image_timeout_seconds,
        )

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self._running is None:
            self._running = self._start()

    def compress(self, data: bytes, options: ImageOptions) -> Compression:
        """Return smaller copies of an image, as `actors.imaging.compress` makes them.

        Raises:
            ImageError: As there, or `decoder_crashed`, `out_of_memory` or `timeout` when the process died of it.
            RuntimeError: A defect, with its traceback.
        """
        self.start()
        assert self._running is not None  # noqa: S101 - for the type checker
        running = self._running
        try:
            with self._lock:
                self._job = _Job(time.monotonic(), resident_bytes(running.process.pid))
            try:
                write_frame(running.orders, Order(options=options), [data])
                head, body = read_frame(running.answers, max_body_bytes=MAX_ANSWER_BYTES)
            finally:
                with self._lock:
                    self._job = None
            return _compression(Answer.model_validate_json(head), body)
        except (OSError, EOFError, FrameError, ValidationError) as error:
            raise self._death(running) from error

    def end_overrun(self) -> None:
        """End a compression that takes more time or memory than it may."""
        job, running = self._job, self._running
        if job is None or running is None:
            return
        try:
            taken_bytes = resident_bytes(running.process.pid) - job.resident_bytes
        except OSError:  # it has died meanwhile
            return
        # Memory before time: an image that takes much memory may be slow for that alone.
        if taken_bytes > self._max_memory_bytes:
            message = f"The image needs more than {self._max_memory_bytes:,} bytes of memory. Make it smaller."
            self._end(job, ImageError(ImageErrorCode.OUT_OF_MEMORY, message))
        elif taken_bytes > _MUCH_BYTES and used_fraction() > self._max_memory_fraction:
            self._end(job, ImageError(ImageErrorCode.OUT_OF_MEMORY, _NO_MEMORY_MESSAGE))
        elif time.monotonic() - job.since >= self._timeout_seconds:
            message = f"The image could not be compressed within {self._timeout_seconds:g} seconds. Make it smaller."
            self._end(job, ImageError(ImageErrorCode.TIMEOUT, message))

    def abandon(self) -> None:
        """End a compression whose result nobody waits for."""
        if self._job is not None:
            self._end(self._job, None)

    def close(self) -> None:
        """End the process and the thread."""
        self.abandon()
        self.thread.submit(self._stop)  # in its turn: the process may be starting
        self.thread.shutdown()

    def _stop(self) -> None:
        if self._running is not None:
            self._running.process.kill()
            self._running.process.communicate()
            self._running = None

    def _end(self, job: _Job, verdict: ImageError | None) -> None:
        with self._lock:
            if self._job is job and self._running is not None:
                self._verdict = verdict
                self._running.process.kill()

    def _start(self) -> _Running:
        limits = json.dumps(dataclasses.asdict(self._limits))
        process = subprocess.Popen(  # noqa: S603 - this Python, and no argument from outside
            [sys.executable, "-m", "actors.worker.compressor_process", limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **{name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
        )
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - for the type checker
        running = _Running(process, process.stdin, process.stdout)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # the user has many large pipes already
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            head, _ = read_frame(running.answers, max_body_bytes=0)
            not_closed = Greeting.model_validate_json(head).not_closed
        except (EOFError, FrameError, ValidationError) as error:
            process.kill()
            process.communicate()
            message = "the compressor did not start; its worker's log says why"
            raise RuntimeError(message) from error
        if not_closed:
            logger.warning("the kernel lacks %s, so decoders have more rights", " and ".join(not_closed))
        return running

    def _death(self, running: _Running) -> ImageError:
        """Return the reason why an image has no outputs. The process has died, or has given an answer that is none."""
        try:
            ended_by = -running.process.wait(_EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            ended_by = 0
        running.process.kill()
        running.process.communicate()
        with self._lock:
            verdict, self._verdict, self._running = self._verdict, None, None
        if verdict is not None:
            return verdict
        if ended_by == signal.SIGKILL:  # of the kernel, which had no memory left
            return ImageError(ImageErrorCode.OUT_OF_MEMORY, _NO_MEMORY_MESSAGE)
        return ImageError(ImageErrorCode.DECODER_CRASHED, _CRASH_MESSAGE)


def _compression(answer: Answer, body: bytes) -> Compression:
    if answer.defect is not None:
        raise RuntimeError(answer.defect)
    if answer.failure is not None:
        raise ImageError(answer.failure.code, answer.failure.message, cpu_seconds=round(answer.cpu_seconds, 3))
    ends = list(accumulate((each.size_bytes for each in answer.outputs), initial=0))
    if not answer.outputs or ends[-1] != len(body):
        raise FrameError("an answer has no outputs, or others than its files")
    outputs = [
        Compressed(body[begin:end], each.width, each.height, each.format, each.quality, each.decision)
        for each, (begin, end) in zip(answer.outputs, pairwise(ends), strict=True)
    ]
    return Compression(outputs, round(answer.cpu_seconds, 3))
