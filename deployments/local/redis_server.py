"""Redis: progress and events, kept in an append-only file."""

from __future__ import annotations

from typing import ClassVar

from redis import Redis
from redis.exceptions import RedisError

from deployments.local import binaries, ports
from deployments.local.server import Server

_TIMEOUT_SECONDS = 2.0


class RedisServer(Server):
    """A redis-server on loopback alone."""

    name = "redis"
    port = ports.REDIS
    failures: ClassVar[tuple[type[Exception], ...]] = (RedisError, OSError)

    @property
    def url(self) -> str:
        """Where it answers, as `DARKROOM_REDIS_URL`."""
        return f"redis://{ports.LOOPBACK}:{self.ports[ports.REDIS.name]}/0"

    def command(self) -> list[str]:
        """The program, with no configuration file: every option is here."""
        options = {
            "port": self.ports[ports.REDIS.name],
            "bind": ports.LOOPBACK,
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": self.home.redis,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # a kill may leave half a command at the end
            "save": "",
        }
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return [str(binaries.redis_server()), *flags]

    def check(self) -> None:
        """Return when it has loaded its data and answers."""
        with Redis.from_url(
            self.url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        ) as redis:
            redis.ping()
