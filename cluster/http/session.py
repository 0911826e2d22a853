"""The only way out to addresses that strangers wrote: an aiohttp session that connects to checked addresses alone.

A name is resolved once for each connection. All its addresses are checked. The connection goes to a checked address.
The URL keeps the name, so the `Host` header, SNI and the check of the certificate use the name.
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
from cluster.http.names import NameResolver, NameSilentError, NoAddressError
from cluster.http.pool import Pool
from cluster.http.wire_head import MAX_HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.connector import AddrInfoType

    from cluster.settings import Settings

    Resolve = Callable[[str, int], Awaitable[list[str]]]

_KEEPALIVE_TIMEOUT_SECONDS = 5.0
# The part of the connect timeout that a name may take. A slow name must fail before the connection does.
_RESOLVE_TIMEOUT_FRACTION = 0.9
# aiohttp goes through all remaining addresses after each failure. A name with thousands of them would keep it busy.
_MAX_ADDRESSES_TRIED = 8
# The pool limits the bytes of all headers together. A header has at least four: `a:` and the end of the line.
_MAX_HEADERS = MAX_HEAD_BYTES // 4


class GuardedResolver(AbstractResolver):
    """A resolver that refuses a name if any of its addresses is blocked.

    Args:
        guard: The check of an address.
        resolve: A function from a host and a port to addresses.
        timeout_seconds: The limit for one name.
    """

    def __init__(self, guard: Guard, resolve: Resolve, *, timeout_seconds: float) -> None:
        self._guard = guard
        self._resolve = resolve
        self._timeout_seconds = timeout_seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, in the order in which to try them.

        Raises:
            BlockedAddressError: At least one of the addresses is blocked, or the port is.
            NoAddressError: The name has no address.
            NameSilentError: No name server has answered in time.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._resolve(host, port)
            if not addresses:
                raise NoAddressError("the name has no address")  # noqa: TRY301 - as if the resolver had raised it
        except NoAddressError:
            self._guard.check_without_address(host, port)
            raise
        except (NameSilentError, TimeoutError) as error:  # aiohttp would take a timeout for one of the connection
            self._guard.check_without_answer(host, port)
            raise NameSilentError(str(error) or "no name server has answered") from error
        for address in addresses:
            self._guard.check(host, address, port)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses[:_MAX_ADDRESSES_TRIED]
        ]

    async def close(self) -> None:
        """End all lookups."""
        if isinstance(self._resolve, NameResolver):
            await self._resolve.close()


def _checked_socket(guard: Guard, destination: AddrInfoType) -> socket.socket:
    """Return the socket of a connection.

    This check covers every connection. aiohttp asks no resolver about a host that is an IP address.

    Raises:
        BlockedAddressError: The address or the port is blocked.
    """
    family, kind, protocol, _, address = destination
    host = str(address[0])
    guard.check(host, host, int(address[1]))
    return socket.socket(family, kind, protocol)


def guarded_session(
    settings: Settings,
    *,
    max_connections: int,
    resolve: Resolve | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """Return a session for addresses that strangers wrote. Call this inside the event loop that uses the session.

    The session keeps no cookies. `FetchCookies` has those of one fetch. The session reads no proxy and no netrc from
    the environment. It neither asks for compression nor decompresses.

    Each call must pass `allow_redirects=False`. Each call needs a deadline, because the session limits only the time to
    connect.

    Args:
        settings: The connect timeout and the allowed networks and ports hold here.
        max_connections: At least the number of requests in flight, because the wait for a connection counts as
            connecting. As many connections may be idle.
        resolve: A function from a host and a port to addresses. By default the resolver of the system's configuration.
        ssl_context: The trusted authorities. By default they are those that Mozilla trusts.
    """
    guard = Guard(settings.allowed_networks, allowed_ports=settings.allowed_ports)
    seconds = settings.connect_timeout_seconds
    resolve_seconds = _RESOLVE_TIMEOUT_FRACTION * seconds
    resolve = resolve or NameResolver(timeout_seconds=resolve_seconds)
    connector = Pool(
        resolver=GuardedResolver(guard, resolve, timeout_seconds=resolve_seconds),
        socket_factory=functools.partial(_checked_socket, guard),
        use_dns_cache=False,
        limit=max_connections,
        keepalive_timeout=_KEEPALIVE_TIMEOUT_SECONDS,
        ssl=ssl_context or ssl.create_default_context(cafile=certifi.where()),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(connect=seconds),
        headers={"User-Agent": f"Darkroom/{_version()}", "Accept": "*/*", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=_MAX_HEADERS,
    )


def _version() -> str:
    try:
        return version("darkroom")
    except PackageNotFoundError:  # Ray ships the working directory without the package's metadata
        return "0"
