"""Source hosts, as the whole cluster knows them in Redis: their downloads, and their behaviour.

A host gets a limited number of downloads at once. A host that answers 429 or 503 is paused for as long as it asks. Then
it gets half as many downloads, and one more with every good batch. A host that does not answer is only probed, and is
given up when the probes have failed for a while. So a dead host does not cost a timeout for each of its images.
Sources: AIMD as in RFC 5681, section 3.1; the breaker is that of Nygard, "Release It!", 2nd edition, chapter 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.redis.connection import OPTIONAL_TIMEOUT_SECONDS, connect_redis, load_script, redis_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.settings import Settings

LEASE_SECONDS = 15.0
"""The life of a permit since its last renewal. The permits of a worker that died block others no longer than that."""
BREAKER_FAILURES = 10
"""The number of failures in a row after which a host is only probed."""
_TTL_SECONDS = 600
_MAX_PROBE_SECONDS = 5.0
_PROBES = 6  # before a source is given up


class Permit(NamedTuple):
    """The permit of a batch at one host."""

    downloads: int  # at once
    wait_seconds: float = 0  # when none is granted
    given_up: bool = False


class Behaviour(NamedTuple):
    """The behaviour of a host towards one batch."""

    granted: int  # downloads, to be given back
    begun: int  # downloads, however they ended
    answers: int
    failures: int  # without any answer
    pause_seconds: float  # for which it wants to be left alone; 0 when it did not say


class SourceHosts:
    """Every method raises `StoreUnavailableError` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect_redis(settings, timeout_seconds=OPTIONAL_TIMEOUT_SECONDS)
        self._max_downloads = settings.max_downloads_per_host
        self._silent_seconds = settings.source_away_seconds
        self.probe_seconds = min(_MAX_PROBE_SECONDS, self._silent_seconds / _PROBES)
        """The pause between two probes of a host."""
        self._enter = load_script(self._redis, "host_enter")
        self._keep = load_script(self._redis, "host_keep")
        self._leave = load_script(self._redis, "host_leave")

    async def enter(self, token: str, wanted: Mapping[str, int]) -> dict[str, Permit]:
        """Ask for downloads at hosts.

        Args:
            token: The unique name of this batch.
            wanted: The number of downloads at each host.
        """
        milliseconds = (
            self._max_downloads,
            int(LEASE_SECONDS * 1000),
            _TTL_SECONDS * 1000,
            BREAKER_FAILURES,
            int(self._silent_seconds * 1000),
            int(self.probe_seconds * 1000),
        )
        with redis_errors():
            answers = await self._enter(keys=_keys(wanted), args=[*milliseconds, token, *wanted.values()])
        return {
            host: Permit(granted, wait_ms / 1000, bool(given_up))
            for host, (granted, wait_ms, given_up) in zip(wanted, answers, strict=True)
        }

    async def keep(self, token: str, granted: Mapping[str, int]) -> None:
        """Renew the permits of a batch. Call it again well within `LEASE_SECONDS`."""
        keys = [_leases(host) for host in granted]
        arguments: list[str | int] = [int(LEASE_SECONDS * 1000), _TTL_SECONDS * 1000, token, *granted.values()]
        with redis_errors():
            await self._keep(keys=keys, args=arguments)

    async def leave(self, token: str, behaviours: Mapping[str, Behaviour]) -> None:
        """Give the permits back, and report how the hosts behaved."""
        told: list[int] = []
        for each in behaviours.values():
            told += [each.granted, each.begun, each.answers, each.failures, int(each.pause_seconds * 1000)]
        with redis_errors():
            await self._leave(keys=_keys(behaviours), args=[self._max_downloads, _TTL_SECONDS * 1000, token, *told])

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()


def _keys(hosts: Mapping[str, object]) -> list[str]:
    return [key for host in hosts for key in (f"darkroom:host:{host}", _leases(host))]


def _leases(host: str) -> str:
    return f"darkroom:host:{host}:leases"
