"""Keeps the downloads of a batch within the limits of each source host."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.aio import end, forever
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError, StoreUnavailableError
from cluster.http.url import host_of
from cluster.redis.source_hosts import LEASE_SECONDS, Behaviour, Permit, SourceHosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

_NO_ANSWER = frozenset({ImageErrorCode.TIMEOUT, ImageErrorCode.CONNECTION_FAILED, ImageErrorCode.DNS_UNAVAILABLE})
_MAX_SILENT_NAME_PAUSE_SECONDS = 2.0  # since an error of a name server comes at once
_MAX_FAILURES = 3  # of a host in a batch, without an answer, before the rest of its images is released
_DEFAULT_PAUSE_SECONDS = 2.0  # for a host that asks for a pause and does not say how long
_MAX_PAUSE_SECONDS = 300.0
_RENEW_INTERVAL_SECONDS = LEASE_SECONDS / 3
_THROTTLING = frozenset({429, 503})
logger = logging.getLogger("darkroom.image_worker")


class FetchLaterError(Exception):
    """An image is to be fetched later.

    Args:
        seconds: The time before which it is not fetched.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(eq=False, slots=True)
class _Host:
    """One host in this batch."""

    permit: Permit
    turns: asyncio.Semaphore
    begun: int = 0
    answers: int = 0
    failures: int = 0
    pause_seconds: float = 0

    def check(self) -> None:
        """Raise when nothing more may be fetched from the host now."""
        if self.permit.given_up:
            message = "The source has not answered for a while. Check that it is up, then retry the image."
            raise ImageError(ImageErrorCode.SOURCE_UNAVAILABLE, message)
        if not self.permit.downloads:
            raise FetchLaterError(self.permit.wait_seconds)
        if self.pause_seconds:
            raise FetchLaterError(self.pause_seconds)
        if self.failures >= min(_MAX_FAILURES, self.permit.downloads) and not self.answers:
            raise FetchLaterError(0)

    def learn(self, error: ImageError | None) -> None:
        """Take the end of a download into account."""
        if error is not None and error.code in _NO_ANSWER and error.http_status is None:  # a redirect is an answer
            self.failures += 1
            return
        self.answers += 1
        if error is not None and error.http_status in _THROTTLING:
            self.pause_seconds = min(_MAX_PAUSE_SECONDS, error.retry_after_seconds or _DEFAULT_PAUSE_SECONDS)


@dataclass(eq=False, slots=True)
class HostLimiter:
    """The hosts of one batch."""

    _source_hosts: SourceHosts
    _token: str
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _are_limits_shared: bool = True

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, hosts: SourceHosts, token: str, urls: Iterable[str], *, at_once: int
    ) -> AsyncIterator[HostLimiter]:
        """Ask for permits in Redis, and tell at the end how the hosts behaved.

        While Redis is away, a batch has its own limit alone.
        """
        wanted = {host: min(at_once, images) for host, images in Counter(map(host_of, urls)).items()}
        limiter = cls(hosts, token)
        try:
            permits = await hosts.enter(token, wanted)
        except StoreUnavailableError as error:
            logger.warning("host limits are not shared: %s", error)
            permits = {host: Permit(downloads) for host, downloads in wanted.items()}
            limiter._are_limits_shared = False
        limiter._hosts = {host: _Host(permit, asyncio.Semaphore(permit.downloads)) for host, permit in permits.items()}
        renewing = asyncio.create_task(limiter._renew())
        try:
            yield limiter
        finally:
            await end(renewing)
            await limiter._leave()

    def allows(self, url: str) -> bool:
        """Return whether anything may be fetched from the URL's host now."""
        return self._hosts[host_of(url)].permit.downloads > 0

    @contextlib.asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """Wait for a turn at the URL's host, and have it for the block, whose error tells how the host behaved.

        A name without an answer costs no attempt, because the fault may be in the network of Darkroom. The limits that
        all workers share end that when the host was silent for too long. While Redis is away, attempts end it.

        Raises:
            FetchLaterError: Nothing is to be fetched from it for a while.
            ImageError: The host was given up. Its code is `source_unavailable`.
        """
        host = self._hosts[host_of(url)]
        host.check()
        async with host.turns:
            host.check()  # it may have changed while we waited
            host.begun += 1
            try:
                yield
            except ImageError as error:
                host.learn(error)
                if self._are_limits_shared and _is_silent_name(error):
                    pause = min(_MAX_SILENT_NAME_PAUSE_SECONDS, self._source_hosts.probe_seconds)
                    raise FetchLaterError(pause) from error
                raise
            host.learn(None)

    async def _renew(self) -> None:
        """Renew the permits of this batch while its worker lives."""
        granted = {name: host.permit.downloads for name, host in self._hosts.items() if host.permit.downloads}
        if not granted:
            return
        await asyncio.sleep(_RENEW_INTERVAL_SECONDS)
        # Permits that have ended meanwhile are granted again by the next call.
        await forever(
            lambda: self._source_hosts.keep(self._token, granted),
            lambda: asyncio.sleep(_RENEW_INTERVAL_SECONDS),
            "the host limiter",
        )

    async def _leave(self) -> None:
        behaviours = {
            name: Behaviour(host.permit.downloads, host.begun, host.answers, host.failures, host.pause_seconds)
            for name, host in self._hosts.items()
        }
        try:
            await self._source_hosts.leave(self._token, behaviours)
        except StoreUnavailableError as error:  # its permits end by themselves
            logger.warning("host limits are not shared: %s", error)


def _is_silent_name(error: ImageError) -> bool:
    """Return whether no name server has answered for the host itself. The target of a redirect is another host."""
    return error.code is ImageErrorCode.DNS_UNAVAILABLE and error.http_status is None
