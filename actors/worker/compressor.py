"""The compressor of a worker: it has a process for the images, watches what they take, and judges why they failed."""

from __future__ import annotations

import logging
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from actors.imaging.gate import Limits
from actors.worker.compressor_child import Compression, CompressorChild, DiedError, StartError
from actors.worker.machine_memory import used_fraction
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from cluster.options import ImageOptions
    from cluster.settings import Settings

# Ray knows nothing of this process. Short of memory, it would end its own: workers, actors and replicas, all of them.
_MUCH_BYTES = 256 * 1024 * 1024
_MAX_KEPT_BYTES = 128 * 1024 * 1024  # between two images; the allocator keeps up to half of it
_NO_MEMORY_MESSAGE = "The machine was short of memory when it had this image. Make it smaller, or retry it later."
_CRASH_MESSAGE = "The decoder crashed on this image. Save the image anew in an editor, and send it again."
logger = logging.getLogger("darkroom.compressor")


class AbandonedError(Exception):
    """Nobody waits for the result of this compression."""


@dataclass(slots=True)
class _Job:
    """The image at work. Its verdict is the reason for which it was ended."""

    data: bytes
    child: CompressorChild | None = None  # None while it starts
    since: float = 0  # of `time.monotonic()`
    resident_bytes: int = 0  # of the process, when the compression began
    cpu_seconds: float = 0  # in the same way
    is_judged: bool = False
    judge: CompressorChild | None = None
    verdict: Exception | None = None


class Compressor:
    """A process without network, files and secrets that compresses one image at a time.

    It begins to start at once. One thread asks it, and any other may end what it does. When it has died, the next image
    starts another one.

    Args:
        limits: How large an image may be.
        max_memory_bytes: The memory that a compression may take.
        max_memory_fraction: The share of the machine's memory past which a compression that has taken much is ended.
        max_decode_cpu_seconds: The CPU time that decoding alone may take.
        timeout_seconds: The time that a compression may take.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        max_memory_bytes: int,
        max_memory_fraction: float,
        max_decode_cpu_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._limits = limits
        self._max_memory_bytes = max_memory_bytes
        self._max_memory_fraction = max_memory_fraction
        self._max_decode_cpu_seconds = max_decode_cpu_seconds
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._child: CompressorChild | None = None  # of the thread alone
        self._job: _Job | None = None
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
            max_decode_cpu_seconds=settings.max_image_cpu_seconds,
            timeout_seconds=settings.image_timeout_seconds,
        )

    def start(self) -> CompressorChild:
        """Return the process, a new one unless it runs and has kept little memory. Raises `StartError`."""
        if self._child is not None:
            if self._child.is_running and self._child.kept_bytes() <= _MAX_KEPT_BYTES:
                return self._child
            self._stop()
        try:
            self._child = CompressorChild.start(self._limits)
        except StartError:
            logger.exception("no image can be compressed now")
            raise
        return self._child

    def compress(self, data: bytes, options: ImageOptions) -> Compression:
        """Return smaller copies of an image, as `actors.imaging.compress` makes them.

        Raises:
            ImageError: As there, or `decoder_crashed`, `out_of_memory` or `timeout` when the process died of it.
            RuntimeError: A defect, with its traceback.
            StartError: No process can be started now.
            AbandonedError: `abandon` was called.
        """
        job = _Job(data)
        with self._lock:
            self._job = job
        try:
            return self._compress(job, options)
        finally:
            with self._lock:
                self._job = None
                if job.judge is not None:
                    job.judge.kill()
            if job.verdict is not None:  # the process was killed, perhaps after its answer
                self._stop()

    def _compress(self, job: _Job, options: ImageOptions) -> Compression:
        while True:
            child = self.start()
            self._begin(job, child)
            try:
                return child.compress(job.data, options)
            except DiedError as died:
                if job.verdict is not None:
                    raise job.verdict from died
                if died.is_first:
                    raise _death(died.signal) from died
                # An image before this one may have harmed the process. A new one tells.

    def _begin(self, job: _Job, child: CompressorChild) -> None:
        taken_bytes, cpu_seconds = child.resident_bytes(), child.cpu_seconds()
        with self._lock:
            if job.verdict is not None:
                raise job.verdict
            job.child, job.since = child, time.monotonic()
            job.resident_bytes, job.cpu_seconds = taken_bytes, cpu_seconds

    def end_overrun(self) -> None:
        """End a compression that takes more time or memory than it may."""
        job = self._job
        if job is None or job.child is None:
            return
        try:
            taken_bytes = job.child.resident_bytes() - job.resident_bytes
            cpu_seconds = job.child.cpu_seconds() - job.cpu_seconds
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
        elif not job.is_judged and cpu_seconds > self._max_decode_cpu_seconds:
            job.is_judged = True
            threading.Thread(target=self._judge, args=[job], name="judge", daemon=True).start()

    def _judge(self, job: _Job) -> None:
        """End a compression whose decode is too slow. Libvips decodes while it encodes, so another process decodes."""
        try:
            judge = CompressorChild.start(self._limits)
        except StartError:
            logger.exception("nothing tells whether the decode of an image is too slow")
            return
        with self._lock:
            if self._job is not job:
                judge.kill()
            job.judge = judge
        if not judge.decodes_within(self._max_decode_cpu_seconds, job.data):
            message = f"The image needs more than {self._max_decode_cpu_seconds:g} seconds of CPU to decode."
            self._end(job, ImageError(ImageErrorCode.TOO_MANY_PIXELS, f"{message} Make it smaller."))
        judge.end()

    def abandon(self) -> None:
        """End a compression whose result nobody waits for."""
        job = self._job
        if job is not None:
            self._end(job, AbandonedError())

    def _end(self, job: _Job, verdict: Exception) -> None:
        with self._lock:
            if self._job is job and job.verdict is None:
                job.verdict = verdict
                if job.child is not None:
                    job.child.kill()

    def close(self) -> None:
        """End the process and the thread."""
        self.abandon()
        self.thread.submit(self._stop)  # in its turn: the process may be starting
        self.thread.shutdown()

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.end()
            self._child = None


def _death(ended_by: int) -> ImageError:
    """Return the reason why an image has no outputs, by the signal that ended its process."""
    if ended_by == signal.SIGKILL:  # of the kernel, which had no memory left
        return ImageError(ImageErrorCode.OUT_OF_MEMORY, _NO_MEMORY_MESSAGE)
    return ImageError(ImageErrorCode.DECODER_CRASHED, _CRASH_MESSAGE)
