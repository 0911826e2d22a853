"""The one way out to addresses that strangers wrote: an aiohttp session that connects to checked addresses only.

A name is resolved once for each connection, every answer is checked, and the connection goes to what was checked. The
URL stays the name's, so the `Host` header, SNI and the certificate check stay the name's too.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult

from cluster.http.guard import Guard
from cluster.http.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.connector import AddrInfoType

    from cluster.settings import Settings

    Resolve = Callable[[str, int], Awaitable[list[str]]]

KEEPALIVE_SECONDS = 5.0

# Of the time to connect; a name must fail for itself before the connection does.
_RESOLVING_SHARE = 0.9
# aiohttp tries the addresses that are left again after each failure, so a name with thousands would keep it busy.
_MAX_ADDRESSES = 8
# Of the answer: 8 MiB of headers at the most.
_MAX_HEADERS = 256
_MAX_HEADER_BYTES = 32 * 1024


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver, in the order in which they should be tried."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


class GuardedResolver(AbstractResolver):
    """Resolves a name to addresses that are open, all of them.

    Args:
        guard: Says which addresses are open.
        resolve: From a host and a port to addresses.
        timeout_seconds: For one name.
    """

    def __init__(self, guard: Guard, resolve: Resolve, *, timeout_seconds: float) -> None:
        self._guard = guard
        self._resolve = resolve
        self._timeout_seconds = timeout_seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses, in the order in which they should be tried.

        Raises:
            BlockedAddressError: At least one of the addresses is blocked.
            OSError: The name has no address, or none in time.
        """
        addresses: list[str] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            raise OSError(str(error)) from error  # aiohttp would take a TimeoutError for the connection's
        if not addresses:
            message = "the name has no address"
            raise OSError(message)
        for address in addresses:
            self._guard.check(host, address)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses[:_MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _checked_socket(guard: Guard, destination: AddrInfoType) -> socket.socket:
    """The socket of a connection: aiohttp asks no resolver about a host that is an address, and gets all of them here.

    Raises:
        BlockedAddressError: The address is blocked.
    """
    family, kind, protocol, _, address = destination
    host = str(address[0])
    guard.check(host, host)
    return socket.socket(family, kind, protocol)


def guarded_session(
    settings: Settings,
    *,
    max_connections: int,
    resolve: Resolve = system_resolve,
    ssl_context: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """A session for addresses that strangers wrote; to be made inside the event loop that uses it.

    It keeps no cookies, reads no proxy or netrc from the environment, asks for no compression and undoes none. A caller
    passes `allow_redirects=False` and bounds the whole by a deadline, because only connecting is bounded here.

    Args:
        settings: Connect timeout, and the networks that are open.
        max_connections: At least the number of requests in flight, since the wait for one counts as connecting; as
            many may be idle.
        resolve: From a host and a port to addresses.
        ssl_context: Whom to trust; by default the authorities that Mozilla trusts.
    """
    guard = Guard(settings.allowed_networks)
    seconds = settings.connect_timeout_seconds
    connector = Pool(
        resolver=GuardedResolver(guard, resolve, timeout_seconds=_RESOLVING_SHARE * seconds),
        socket_factory=functools.partial(_checked_socket, guard),
        use_dns_cache=False,
        limit=max_connections,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ssl=ssl_context or ssl.create_default_context(cafile=certifi.where()),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(connect=seconds),
        headers={"User-Agent": f"Darkroom/{_version()}", "Accept": "*/*", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        max_headers=_MAX_HEADERS,
    )


def _version() -> str:
    try:
        return version("darkroom")
    except PackageNotFoundError:  # Ray ships the working directory without the package's metadata
        return "0"
