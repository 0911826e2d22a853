"""Redis: progress and events, kept in an append-only file."""

from __future__ import annotations

from typing import ClassVar

from redis import Redis
from redis.exceptions import RedisError

from deployments.local import binaries, ports
from deployments.local.server import Server


class RedisServer(Server):
    """A redis-server on loopback alone."""

    name = "redis"
    port = ports.REDIS
    check_timeout_seconds: ClassVar[float] = 2
    failures: ClassVar[tuple[type[Exception], ...]] = (RedisError, OSError)

    @property
    def url(self) -> str:
        """The server's address, as `DARKROOM_REDIS_URL`."""
        return f"redis://{ports.LOOPBACK}:{self.ports[ports.REDIS.name]}/0"

    def command(self) -> list[str]:
        """Return the program with all its options. There is no configuration file."""
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
        seconds = self.check_timeout_seconds
        with Redis.from_url(self.url, socket_timeout=seconds, socket_connect_timeout=seconds) as redis:
            redis.ping()
