"""The throughput of the queue. The queue manager measures it, and the API derives `Retry-After` from it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cluster.errors import StoreUnavailableError
from cluster.redis.connection import OPTIONAL_TIMEOUT_SECONDS, connect_redis, redis_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cluster.settings import Settings

_TTL_SECONDS = 120
_SAMPLE_SECONDS = 5.0
_WEIGHT = 0.3  # of the latest sample
logger = logging.getLogger("darkroom.throughput")


class Throughput:
    """One number in Redis. Every method raises `StoreUnavailableError` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect_redis(settings, timeout_seconds=OPTIONAL_TIMEOUT_SECONDS)
        self._key = f"darkroom:drain-rate:{settings.ray_namespace}"

    async def write(self, images_per_second: float) -> None:
        """Write the measured throughput. It is forgotten after two minutes."""
        with redis_errors():
            await self._redis.set(self._key, images_per_second, ex=_TTL_SECONDS)

    async def read(self) -> float | None:
        """Return images per second, or None when nothing was measured lately."""
        with redis_errors():
            value = await self._redis.get(self._key)
        return None if value is None else float(value)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()


class ThroughputMeter:
    """Samples how many images are done, and writes how many that is in a second.

    Args:
        rate: Where it is written.
        clock: Seconds, monotonic.
    """

    def __init__(self, rate: Throughput, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = clock
        self._since = clock()
        self._done = 0
        self._counted: dict[str, int] = {}  # by request
        self._per_second: float | None = None

    async def observe(self, images_done: Mapping[str, int], at_work: Collection[str]) -> None:
        """Take in the number of images that were done until now.

        Args:
            images_done: By request, of the coordinators that have answered.
            at_work: All requests at work.
        """
        for request_id, count in images_done.items():
            # The first report of a request counts images that were done earlier.
            self._done += max(0, count - self._counted.get(request_id, count))
        known = self._counted | dict(images_done)
        self._counted = {request_id: count for request_id, count in known.items() if request_id in at_work}
        seconds = self._now() - self._since
        if seconds < _SAMPLE_SECONDS:
            return
        latest = self._done / seconds
        before = latest if self._per_second is None else self._per_second
        self._per_second = before + _WEIGHT * (latest - before)
        self._since, self._done = self._now(), 0
        if latest:  # an empty queue has no throughput
            try:
                await self._rate.write(self._per_second)
            except StoreUnavailableError as error:
                logger.warning("the throughput is not written: %s", error)
