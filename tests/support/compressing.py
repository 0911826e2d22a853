"""A compressor without a worker, and what a test asks of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from actors.worker.compressor import Compressor
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pictures import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.worker.compressor_child import Compression
    from cluster.codes import ImageErrorCode

MEMORY_BYTES = 200_000_000


@contextmanager
def compressing(
    *,
    timeout_seconds: float = 30,
    max_memory_bytes: int = MEMORY_BYTES,
    max_memory_fraction: float = 1,
    max_decode_cpu_seconds: float = 30,
) -> Iterator[Compressor]:
    """Have a compressor with such limits."""
    compressor = Compressor(
        LIMITS,
        max_memory_bytes=max_memory_bytes,
        max_memory_fraction=max_memory_fraction,
        max_decode_cpu_seconds=max_decode_cpu_seconds,
        timeout_seconds=timeout_seconds,
    )
    try:
        yield compressor
    finally:
        compressor.close()


def child_of(compressor: Compressor) -> psutil.Process:
    """Return the process of a compressor, once it runs."""
    compressor.thread.submit(compressor.start).result()
    (child,) = psutil.Process().children()
    return child


def kill_child_of(compressor: Compressor) -> None:
    """End the process of a compressor behind its back."""
    child = child_of(compressor)
    child.kill()
    wait_until(lambda: child.status() == psutil.STATUS_ZOMBIE, "it has died")


def compressed(compressor: Compressor, data: bytes, options: ImageOptions | None = None) -> Compression:
    """Compress an image. Raises as `Compressor.compress`."""
    return compressor.thread.submit(compressor.compress, data, options or ImageOptions()).result()


def code_of(compressor: Compressor, data: bytes, *, meanwhile: Callable[[], object] = lambda: None) -> ImageErrorCode:
    """Return the code with which an image fails. Call `meanwhile` again and again until then."""
    work = compressor.thread.submit(compressor.compress, data, ImageOptions())
    while not work.done():
        meanwhile()
        time.sleep(0.05)
    error = work.exception()
    assert isinstance(error, ImageError)
    return error.code
