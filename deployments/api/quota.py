"""Whether the queue has room for another upload, in all and for one API key, and when it will have some."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import RefusedError, StoreUnavailableError
from cluster.mongo.requests import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.mongo.requests import RequestQueue
    from cluster.redis.throughput import Throughput
    from cluster.settings import Settings

_UNKNOWN_RATE_SECONDS = 60
_MIN_SECONDS = 2
_MAX_SECONDS = 3600


class _Limit(NamedTuple):
    """One limit, and how full it is."""

    status: int
    code: str
    whose: str
    load: Load
    max_requests: int
    max_images: int


class Quota:
    """The room in the queue. What this replica is storing counts as stored; other replicas see it when it is committed.

    Args:
        queue: What is in it.
        drain_rate: How fast it drains.
        settings: The limits.
    """

    def __init__(self, queue: RequestQueue, drain_rate: Throughput, settings: Settings) -> None:
        self._queue = queue
        self._throughput = drain_rate
        self._settings = settings
        self._storing_requests: Counter[str] = Counter()  # by owner
        self._storing_images: Counter[str] = Counter()

    async def check(self, owner: str, images: int = 1) -> None:
        """Return when there is room for one more request of so many images.

        Raises:
            RefusedError: 413 when there can never be, 429 when the key has too much in the queue, 503 when all have;
                both say when to come back.
            StoreUnavailableError: MongoDB does not answer.
        """
        settings = self._settings
        most = min(settings.max_queued_images, settings.max_queued_images_per_key)
        if images > most:
            raise RefusedError(413, "too_many_images", f"The catalogue has {images:,} images; {most:,} are allowed.")
        loads = await self._queue.load()
        own = self._with_storing(loads.get(owner, Load(0, 0)), owner)
        every = Load(
            sum(load.requests for load in loads.values()) + self._storing_requests.total(),
            sum(load.images for load in loads.values()) + self._storing_images.total(),
        )
        for limit in (
            _Limit(
                429,
                "quota_exceeded",
                "This API key",
                own,
                settings.max_queued_requests_per_key,
                settings.max_queued_images_per_key,
            ),
            _Limit(503, "queue_full", "The queue", every, settings.max_queued_requests, settings.max_queued_images),
        ):
            await self._check_limit(limit, images)

    @contextmanager
    def storing(self, owner: str, images: int) -> Iterator[None]:
        """Count an upload while it is stored."""
        self._storing_requests[owner] += 1
        self._storing_images[owner] += images
        try:
            yield
        finally:
            self._storing_requests[owner] -= 1
            self._storing_images[owner] -= images
            self._storing_requests += Counter()  # forgets those who are storing nothing
            self._storing_images += Counter()

    def _with_storing(self, load: Load, owner: str) -> Load:
        return Load(load.requests + self._storing_requests[owner], load.images + self._storing_images[owner])

    async def _check_limit(self, limit: _Limit, images: int) -> None:
        load = limit.load
        too_many_images = load.images + images - limit.max_images
        if too_many_images > 0:
            detail = f"{limit.whose} has {load.images:,} images waiting; {limit.max_images:,} are allowed."
            seconds = await self._seconds_until(too_many_images)
        elif load.requests >= limit.max_requests:
            detail = f"{limit.whose} has {load.requests:,} requests waiting; {limit.max_requests:,} are allowed."
            # Until one of them is done, as they are on average.
            seconds = await self._seconds_until(load.images / load.requests)
        else:
            return
        detail += f" Nothing was stored; try again in {seconds} seconds."
        raise RefusedError(limit.status, limit.code, detail, seconds)

    async def _seconds_until(self, images: float) -> int:
        try:
            per_second = await self._throughput.read()
        except StoreUnavailableError:
            per_second = None
        if not per_second:
            return _UNKNOWN_RATE_SECONDS
        return math.ceil(min(_MAX_SECONDS, max(_MIN_SECONDS, images / per_second)))
