"""The progress of requests in Redis: fast to write and to read, and never the truth.

A request has a hash of counters, and a bitmap of the images that were counted. They are valid only while a third key
says that they are whole. That key lives for a few seconds. The coordinator renews it as long as it has missed nothing.
After Redis was away or emptied, the coordinator first counts all terminal images again from MongoDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.records import Image, Status
from cluster.redis.connection import connect_redis, load_script, redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.settings import Settings

TTL_SECONDS = 7 * 24 * 3600
WHOLE_TTL_SECONDS = 3.0
_REBUILD_SECONDS = 600
_EPOCH, _IN_FLIGHT = "epoch", "inFlight"


class CountedImage(NamedTuple):
    """One terminal image, as progress counts it."""

    ordinal: int  # in the request
    status: Status  # completed or failed
    bytes_in: int
    bytes_out: int

    @classmethod
    def of(cls, ordinal: int, image: Image) -> CountedImage:
        """The image as it is counted: bytes of completed ones only."""
        if image.status is Status.COMPLETED:
            return cls(ordinal, image.status, image.bytes_in, image.bytes_out)
        return cls(ordinal, image.status, 0, 0)


class Snapshot(NamedTuple):
    """The counters of a request at one moment."""

    completed: int
    failed: int
    in_flight: int
    bytes_in: int
    bytes_out: int


class Progress:
    """The progress of all requests. Every method raises `StoreUnavailableError` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect_redis(settings)
        self._count = load_script(self._redis, "count")
        self._finish_rebuild = load_script(self._redis, "finish_rebuild")
        self._renew = load_script(self._redis, "renew")

    async def begin_rebuild(self, request_id: str, epoch: int, *, afresh: bool = False) -> None:
        """Announce that all terminal images will be counted again.

        Args:
            request_id: The request.
            epoch: The epoch of the coordinator, which tells it from earlier ones.
            afresh: Whether to forget earlier counts, which may not hold any more.
        """
        with redis_errors():
            if afresh:
                await self._redis.delete(*(key(request_id) for key in (_whole_key, _hash_key, _bitmap_key)))
            await self._redis.set(_rebuild_key(request_id), epoch, ex=_REBUILD_SECONDS)

    async def finish_rebuild(self, request_id: str, epoch: int, *, in_flight: int) -> bool:
        """Say that they were counted. False when Redis has lost them again meanwhile."""
        keys = [_rebuild_key(request_id), _whole_key(request_id)]
        with redis_errors():
            return bool(await self._finish_rebuild(keys=keys, args=[epoch, in_flight, int(WHOLE_TTL_SECONDS * 1000)]))

    async def renew(self, request_id: str, epoch: int, *, in_flight: int) -> bool:
        """Say for some seconds that the counters are whole. False when they are not.

        Args:
            request_id: The request.
            epoch: The epoch of the coordinator.
            in_flight: The number of images in tasks.
        """
        with redis_errors():
            return bool(
                await self._renew(keys=[_whole_key(request_id)], args=[epoch, in_flight, int(WHOLE_TTL_SECONDS * 1000)])
            )

    async def count(self, request_id: str, images: Iterable[CountedImage]) -> None:
        """Count terminal images. An image that was counted before changes nothing."""
        arguments: list[str | int] = [TTL_SECONDS]
        for ordinal, status, bytes_in, bytes_out in images:
            arguments += [ordinal, status, bytes_in, bytes_out]
        with redis_errors():
            keys = [_hash_key(request_id), _bitmap_key(request_id), _whole_key(request_id)]
            await self._count(keys=keys, args=arguments)

    async def read(self, request_id: str, epoch: int) -> Snapshot | None:
        """Return the counters, or None unless the coordinator of this epoch says that they are whole.

        Counters of an earlier epoch may be from before a retry.
        """
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(_hash_key(request_id))
                pipeline.hmget(_whole_key(request_id), _EPOCH, _IN_FLIGHT)
                fields, (said_by, in_flight) = await pipeline.execute()
        if said_by != str(epoch):
            return None
        return Snapshot(
            completed=int(fields.get(Status.COMPLETED, 0)),
            failed=int(fields.get(Status.FAILED, 0)),
            in_flight=int(in_flight),
            bytes_in=int(fields.get("bytesIn", 0)),
            bytes_out=int(fields.get("bytesOut", 0)),
        )

    async def forget(self, request_id: str) -> None:
        """Remove the counters. A closed request has its own in MongoDB."""
        with redis_errors():
            keys = (_hash_key, _bitmap_key, _whole_key, _rebuild_key)
            await self._redis.delete(*(key(request_id) for key in keys))

    async def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            await self._redis.ping()

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()


def _hash_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}"


def _bitmap_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}:counted"


def _whole_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}:whole"


def _rebuild_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}:rebuild"
