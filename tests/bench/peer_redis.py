"""A Redis for the peers, like the service's, but with every command: the service's own refuses those it never calls."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError

from deployments.local import binaries, processes
from deployments.local.claims import Claims
from deployments.local.ports import LOOPBACK, Port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PORT = Port("redis", 6400)


@dataclass(frozen=True)
class PeerRedis:
    """A running redis-server."""

    pid: int
    port: int

    def url(self, number: int) -> str:
        """Return the URL of one of its databases."""
        return f"redis://{LOOPBACK}:{self.port}/{number}"


@contextmanager
def peer_redis(folder: Path) -> Iterator[PeerRedis]:
    """Run one for the block."""
    with Claims() as claims:
        port = claims.choose([_PORT], {})[_PORT.name]
        options = {"port": port, "bind": LOOPBACK, "dir": folder, "appendonly": "yes", "save": ""}
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        command = [str(binaries.redis_server()), *flags]
        process = processes.spawn(command, environment=os.environ, log_file=folder / "redis.log")
        try:
            with Redis(port=port) as redis:
                wait_until(lambda: _answers(redis), "the peers' Redis answers")
            yield PeerRedis(process.pid, port)
        finally:
            processes.stop_tree(process, folder, grace_seconds=5)


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False
