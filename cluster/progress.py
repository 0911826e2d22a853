"""How far a request is, in Redis: fast to write and to read, and never the truth.

A request has a hash of counters and a bitmap of the images that were counted. The counters are whole only while the
hash says so; after Redis lost them, the coordinator reports all terminal images again from MongoDB.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cluster.errors import StoreUnavailableError
from cluster.records import Image, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cluster.settings import Settings

TTL_SECONDS = 7 * 24 * 3600
_WHOLE = "whole"
_IN_FLIGHT = "inFlight"


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
        timeout = settings.store_timeout_seconds
        self._redis = Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=30,
        )
        self._count = self._redis.register_script(files("cluster").joinpath("progress.lua").read_text())

    async def mark_whole(self, request_id: str) -> None:
        """Say that every terminal image was reported: at the start, when there are none, and after a rebuild."""
        await self._set(request_id, _WHOLE, 1)

    async def set_in_flight(self, request_id: str, images: int) -> None:
        """Say how many images are in tasks."""
        await self._set(request_id, _IN_FLIGHT, images)

    async def count(self, request_id: str, images: Iterable[CountedImage]) -> None:
        """Count terminal images; one that was counted before changes nothing."""
        arguments: list[str | int] = [TTL_SECONDS]
        for ordinal, status, bytes_in, bytes_out in images:
            arguments += [ordinal, status, bytes_in, bytes_out]
        with redis_errors():
            await self._count(keys=[_hash_key(request_id), _bitmap_key(request_id)], args=arguments)

    async def read(self, request_id: str) -> Snapshot | None:
        """The counters, or None when Redis does not have them whole."""
        with redis_errors():
            fields = await self._redis.hgetall(_hash_key(request_id))
        if _WHOLE not in fields:
            return None
        return Snapshot(
            completed=int(fields.get(Status.COMPLETED, 0)),
            failed=int(fields.get(Status.FAILED, 0)),
            in_flight=int(fields.get(_IN_FLIGHT, 0)),
            bytes_in=int(fields.get("bytesIn", 0)),
            bytes_out=int(fields.get("bytesOut", 0)),
        )

    async def forget(self, request_id: str) -> None:
        """Remove the counters; a closed request has its own in MongoDB."""
        with redis_errors():
            await self._redis.delete(_hash_key(request_id), _bitmap_key(request_id))

    async def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            await self._redis.ping()

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _set(self, request_id: str, field: str, value: int) -> None:
        key = _hash_key(request_id)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(key, field, str(value))
                pipeline.expire(key, TTL_SECONDS)
                await pipeline.execute()


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn every way in which Redis can be away or unready into `StoreUnavailableError`."""
    try:
        yield
    except (RedisError, RedisConnectionError, OSError) as error:
        raise StoreUnavailableError("redis", type(error).__name__) from error


def _hash_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}"


def _bitmap_key(request_id: str) -> str:
    return f"darkroom:progress:{request_id}:counted"
