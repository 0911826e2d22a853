"""How fast the queue drains: measured by the queue manager, used to say when a client should come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.progress import OPTIONAL_SECONDS, connect_redis, redis_errors

if TYPE_CHECKING:
    from cluster.settings import Settings

_TTL_SECONDS = 120


class DrainRate:
    """One number in Redis. Every method raises `StoreUnavailableError` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect_redis(settings, timeout_seconds=OPTIONAL_SECONDS)
        self._key = f"darkroom:drain-rate:{settings.ray_namespace}"

    async def write(self, images_per_second: float) -> None:
        """What was measured; it is forgotten after two minutes."""
        with redis_errors():
            await self._redis.set(self._key, images_per_second, ex=_TTL_SECONDS)

    async def read(self) -> float | None:
        """Images per second, or None when nothing was measured lately."""
        with redis_errors():
            value = await self._redis.get(self._key)
        return None if value is None else float(value)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
