"""Redis: progress and events, kept in an append-only file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from deployments.local import binaries, ports
from deployments.local.private_files import write_private
from deployments.local.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployments.local.credentials import Credentials
    from deployments.local.home import Home

_USER = "darkroom"
_COMMANDS = (
    *("auth", "client|setname", "hello", "ping", "select"),
    *("discard", "evalsha", "exec", "multi", "script|exists", "script|load"),
    *("del", "exists", "expire", "get", "mget", "pexpire", "scan", "set", "unlink"),
    *("hdel", "hget", "hgetall", "hincrby", "hmget", "hset", "hsetnx"),
    *("setbit", "time"),
    *("zadd", "zcard", "zrem", "zremrangebyscore"),
    *("incrby", "lindex", "lpush", "ltrim", "pttl", "rename", "ttl"),  # of the library `limits`, for rate limits
)
"""The commands that Darkroom and its scripts call. Redis refuses every other one, such as DEBUG, EVAL or CONFIG."""


class RedisServer(Server):
    """A redis-server that asks everybody for a password."""

    name = "redis"
    port = ports.REDIS
    listens_on = (ports.REDIS,)
    failures: ClassVar[tuple[type[Exception], ...]] = (RedisError, OSError)

    def __init__(self, home: Home, numbers: Mapping[str, int], *, credentials: Credentials) -> None:
        super().__init__(home, numbers)
        self._password = credentials.password_of("redis")

    @property
    def url(self) -> str:
        """The server's address with the password, as `DARKROOM_REDIS_URL`."""
        return f"redis://{_USER}:{self._password}@{self.host}:{self.ports[ports.REDIS.name]}/0"

    def prepare(self) -> None:
        """Write the one user and its commands."""
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        allowed = " ".join(f"+{command}" for command in _COMMANDS)
        lines = ("user default off -@all", f"user {_USER} on #{digest} ~* -@all {allowed}", "")
        write_private(self.home.redis_config_file, "\n".join(lines))

    def command(self) -> list[str]:
        """Return the program with all its options. Only the user is in the configuration file."""
        options = {
            "port": self.ports[ports.REDIS.name],
            "bind": self.host,
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": self.home.redis,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # a kill may leave half a command at the end
            "save": "",
        }
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return [str(binaries.redis_server()), str(self.home.redis_config_file), *flags]

    def check(self) -> None:
        """Return when it has loaded its data and answers."""
        seconds = self.check_timeout_seconds
        once = Retry(NoBackoff(), 0)
        with Redis.from_url(self.url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=once) as redis:
            redis.ping()
