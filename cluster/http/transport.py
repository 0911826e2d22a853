"""An httpx transport that resolves a name once, checks every answer and connects to what it checked.

httpx gives no way to pass a network backend to httpcore, so this is its `AsyncHTTPTransport` without proxies and
HTTP/2. The URL stays the name's, so the `Host` header, SNI and the certificate check stay the name's too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, cast

import httpcore
import httpx

from cluster.http.guard import Guard

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from httpcore._backends.base import SOCKET_OPTION

    from cluster.settings import Settings

    Resolve = Callable[[str, int], Awaitable[list[str]]]

KEEPALIVE_EXPIRY_SECONDS = 5.0

_ADDRESSES_TRIED_IN_EARNEST = 3

# From the most specific to the least.
_EXCEPTIONS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.ProtocolError, httpx.ProtocolError),
)


class NameResolutionError(httpx.ConnectError):
    """The host's name has no address, or the resolver did not answer."""


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver, in the order in which they should be tried."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses only.

    Args:
        guard: Says which addresses are open.
        resolve: From a host and a port to addresses.
    """

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; `timeout` (seconds) covers the name's resolution too.

        Raises:
            BlockedAddressError: At least one of the host's addresses is blocked.
            NameResolutionError: The name has no address.
            httpcore.ConnectError: No address accepted a connection.
            httpcore.ConnectTimeout: None did in time.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        addresses = await self._checked_addresses(host, port, timeout)
        failure: Exception | None = None
        for tried, address in enumerate(addresses):
            # An address that swallows packets must leave time for the next one.
            share = min(len(addresses) - tried, _ADDRESSES_TRIED_IN_EARNEST)
            seconds = None if deadline is None else max(deadline - loop.time(), 0) / share
            try:
                return await self._backend.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or NameResolutionError(host)

    async def _checked_addresses(self, host: str, port: int, timeout_seconds: float | None) -> list[str]:
        try:
            async with asyncio.timeout(timeout_seconds):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            message = "the name was not resolved in time"
            raise NameResolutionError(message) from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            raise NameResolutionError(str(error)) from error
        for address in addresses:
            self._guard.check(host, address)
        return addresses


class GuardedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over pooled connections to checked addresses.

    Args:
        guard: Says which addresses are open.
        max_connections: Of the pool, idle ones included.
        resolve: From a host and a port to addresses.
        ssl_context: Whom to trust; by default the authorities that Mozilla trusts.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        max_connections: int,
        resolve: Resolve = system_resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_EXPIRY_SECONDS,
            network_backend=GuardedBackend(guard, resolve),
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._pool.__aexit__(exc_type, exc_value, traceback)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body streams."""
        core_request = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _httpx_exceptions():
            response = await self._pool.handle_async_request(core_request)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_ResponseStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the pool."""
        await self._pool.aclose()


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_exceptions():
            async for part in cast("AsyncIterable[bytes]", self._response.stream):
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextlib.contextmanager
def _httpx_exceptions() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        for from_type, to_type in _EXCEPTIONS:
            if isinstance(error, from_type):
                raise to_type(str(error)) from error
        raise


def guarded_client(settings: Settings, *, max_connections: int) -> httpx.AsyncClient:
    """A client for addresses that strangers wrote.

    It follows no redirects, keeps no cookies, reads no proxy or netrc from the environment and asks for no compression.
    Its timeouts bound each step; a caller bounds the whole, because a source that drips never lets a step time out.

    Args:
        settings: Connect and read timeouts, and the networks that are open.
        max_connections: Of the pool; at least the number of requests in flight.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(Guard(settings.allowed_networks), max_connections=max_connections),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        headers={"User-Agent": f"Darkroom/{_version()}", "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=httpx.Timeout(settings.image_timeout_seconds, connect=settings.connect_timeout_seconds, pool=None),
    )


def _version() -> str:
    try:
        return version("darkroom")
    except PackageNotFoundError:  # Ray ships the working directory without the package's metadata
        return "0"
