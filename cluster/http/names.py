"""Names resolved without threads, by c-ares. A lookup without an answer holds nothing but its place.

c-ares reads /etc/resolv.conf, /etc/hosts and /etc/nsswitch.conf, and reads them again when they change.

`pymongo._psl` is a private module. tests/unit/cluster/http/test_names.py fails if pymongo moves it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import aiodns
from aiodns import error as dns_error
from pymongo._psl import is_public_suffix  # the Public Suffix List

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_LOOKUPS_PER_DOMAIN = 4  # at once
_PLACE_TIMEOUT_SECONDS = 1.0  # for a lookup, while others of its domain are under way and none is answered
_TRIES = 2  # c-ares waits twice as long for the second
_FIRST_TRY_FRACTION = 0.25  # of the time for a lookup
# The answers that a name has no address. All other errors say that no name server has answered about it.
_NO_ADDRESS = (dns_error.ARES_ENOTFOUND, dns_error.ARES_ENODATA, dns_error.ARES_EBADNAME)


class NoAddressError(OSError):
    """A name has no address. Another lookup would not change that."""


class NameSilentError(OSError):
    """No name server has answered in time, or the answer was an error of its own. Another lookup may succeed."""


class NameResolver:
    """The names of one event loop. Make it inside that loop, and close it.

    Few names of one domain are looked up at once. So names that never answer do not keep those of other domains
    waiting. Lookups of the same name at the same time are one.

    Args:
        timeout_seconds: The limit for one lookup.
        nameservers: Name servers as `address:port`. By default those of /etc/resolv.conf.
        search_domains: The domains that are tried behind a name. By default those of /etc/resolv.conf.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        nameservers: Sequence[str] | None = None,
        search_domains: Sequence[str] | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._channel = aiodns.DNSResolver(
            nameservers, timeout=_FIRST_TRY_FRACTION * timeout_seconds, tries=_TRIES, domains=search_domains
        )
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}
        self._domains: WeakValueDictionary[str, _Domain] = WeakValueDictionary()

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, in the order in which to try them.

        Raises:
            NoAddressError: The name does not exist, or has no address.
            NameSilentError: No name server has answered, or too many names of the domain are being looked up.
        """
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.create_task(self._look_up(host, port))
            lookup.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """End all lookups."""
        for lookup in self._lookups.values():
            lookup.cancel()
        await self._channel.close()

    def _forget(self, host: str, lookup: asyncio.Task[list[str]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            lookup.exception()  # every caller may have gone

    async def _look_up(self, host: str, port: int) -> list[str]:
        domain = self._domains.setdefault(domain_of(host), _Domain())
        async with domain.place():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    found = await self._ask(host, port)
            except NoAddressError:
                domain.answers()
                raise
            except TimeoutError:
                raise NameSilentError("no name server has answered") from None
            domain.answers()
            return found

    async def _ask(self, host: str, port: int) -> list[str]:
        try:
            found = await self._channel.getaddrinfo(host, port=port, type=socket.SOCK_STREAM)
        except dns_error.DNSError as error:
            code, text = error.args
            raise (NoAddressError if code in _NO_ADDRESS else NameSilentError)(text) from error
        return list(dict.fromkeys(node.addr[0].decode() for node in found.nodes))


class _Domain:
    """The places of one domain, as long as its names are looked up."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_LOOKUPS_PER_DOMAIN)
        self._waits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the block.

        Raises:
            NameSilentError: No place is free, and the names before this one have no answer.
        """
        try:
            async with asyncio.timeout(_PLACE_TIMEOUT_SECONDS) as wait:
                self._waits.add(wait)
                try:
                    await self._places.acquire()
                finally:
                    self._waits.remove(wait)
        except TimeoutError:
            raise NameSilentError("other names of its domain are being looked up") from None
        try:
            yield
        finally:
            self._places.release()

    def answers(self) -> None:
        """Give all that wait for a place the whole time again."""
        until = asyncio.get_running_loop().time() + _PLACE_TIMEOUT_SECONDS
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(until)


def domain_of(host: str) -> str:
    """Return the domain that the owner of a name has registered: the shortest end that is no public suffix."""
    labels = host.rstrip(".").lower().split(".")
    ends = (".".join(labels[-count:]) for count in range(2, len(labels)))
    return next((end for end in ends if not is_public_suffix(end)), ".".join(labels))
