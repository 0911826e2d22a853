"""The quota of the queue: the limits for all requests together and for each API key."""

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

_UNKNOWN_THROUGHPUT_RETRY_SECONDS = 60
_MIN_RETRY_SECONDS = 2
_MAX_RETRY_SECONDS = 3600


class _Limit(NamedTuple):
    """A limit of the queue, and the load that counts against it."""

    status: int
    code: str
    whose: str
    load: Load
    max_requests: int
    max_images: int


class Quota:
    """Checks uploads against the quota of the queue.

    An upload that this replica is storing counts as stored. Other replicas see it when it is committed.

    Args:
        queue: The requests in MongoDB.
        throughput: The images that are done in a second.
        settings: The limits.
    """

    def __init__(self, queue: RequestQueue, throughput: Throughput, settings: Settings) -> None:
        self._queue = queue
        self._throughput = throughput
        self._settings = settings
        self._storing_requests: Counter[str] = Counter()  # by owner
        self._storing_images: Counter[str] = Counter()

    async def check(self, owner: str, images: int = 1) -> None:
        """Return when the queue has room for one more request of this many images.

        Raises:
            RefusedError: The request is too large for any queue (413), or the queue is too full for this key (429) or
                for all keys (503). The last two say when to try again.
            StoreUnavailableError: MongoDB does not answer.
        """
        settings = self._settings
        most = min(settings.max_queued_images, settings.max_queued_images_per_key)
        if images > most:
            raise RefusedError(
                413,
                "too_many_images",
                f"This would queue {images:,} images. At most {most:,} are allowed, so send fewer at a time.",
            )
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
        """Count an upload for the time in which it is stored."""
        self._storing_requests[owner] += 1
        self._storing_images[owner] += images
        try:
            yield
        finally:
            self._storing_requests[owner] -= 1
            self._storing_images[owner] -= images
            self._storing_requests += Counter()  # drops owners that store nothing
            self._storing_images += Counter()

    def _with_storing(self, load: Load, owner: str) -> Load:
        return Load(load.requests + self._storing_requests[owner], load.images + self._storing_images[owner])

    async def _check_limit(self, limit: _Limit, images: int) -> None:
        load = limit.load
        too_many_images = load.images + images - limit.max_images
        if too_many_images > 0:
            detail = (
                f"{limit.whose} has {load.images:,} unfinished images, and at most {limit.max_images:,} are allowed."
            )
            seconds = await self._seconds_until(too_many_images)
        elif load.requests >= limit.max_requests:
            detail = (
                f"{limit.whose} has {load.requests:,} open requests, and at most {limit.max_requests:,} are allowed."
            )
            # The time for a request of average size.
            seconds = await self._seconds_until(load.images / load.requests)
        else:
            return
        detail += f" Nothing was stored, so try again in {seconds} seconds."
        raise RefusedError(limit.status, limit.code, detail, seconds)

    async def _seconds_until(self, images: float) -> int:
        try:
            per_second = await self._throughput.read()
        except StoreUnavailableError:
            per_second = None
        if not per_second:
            return _UNKNOWN_THROUGHPUT_RETRY_SECONDS
        return math.ceil(min(_MAX_RETRY_SECONDS, max(_MIN_RETRY_SECONDS, images / per_second)))
