"""The connection to Redis."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.commands.core import AsyncScript

    from cluster.settings import Settings

OPTIONAL_TIMEOUT_SECONDS = 1.0
"""The timeout of a call that only saves time. Work goes on without its answer."""
_SCANNED_KEYS = 1000


def connect_redis(settings: Settings, *, timeout_seconds: float | None = None) -> Redis:
    """Return a client that gives up slow calls. The default timeout is that of the settings."""
    timeout = timeout_seconds or settings.store_timeout_seconds
    return Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=30,
        # With these notifications, the pool hands out connections that still hold an unread answer. The next caller
        # would take it for its own.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def load_script(redis: Redis, name: str) -> AsyncScript:
    """Return a Lua script of `lua/`. Call it with `keys` and `args`."""
    return redis.register_script(files("cluster.redis").joinpath("lua", f"{name}.lua").read_text())


async def forget_all(settings: Settings) -> None:
    """Remove every key of Darkroom from Redis, known results too. All of it can be made again.

    Raises:
        StoreUnavailableError: Redis does not answer.
    """
    redis, position = connect_redis(settings), None
    try:
        with redis_errors():
            while position != 0:
                position, keys = await redis.scan(position or 0, match="darkroom:*", count=_SCANNED_KEYS)
                if keys:
                    await redis.unlink(*keys)
    finally:
        await redis.aclose()


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn every way in which Redis can be away or unready into `StoreUnavailableError`."""
    try:
        yield
    except (RedisError, OSError, ValueError, RuntimeError) as error:
        # ValueError: an answer that cannot be understood; RuntimeError: uvloop's, for a transport that has just closed.
        raise StoreUnavailableError("redis", type(error).__name__) from error
