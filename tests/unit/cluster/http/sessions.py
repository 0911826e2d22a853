"""Guarded sessions whose names resolve to chosen addresses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from cluster.http.session import guarded_session
from cluster.settings import Settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp


LOOPBACK = IPv4Network("127.0.0.1/32")
OPEN = Settings(allowed_networks=(LOOPBACK,), connect_timeout_seconds=2, download_timeout_seconds=5)


def resolver(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


@asynccontextmanager
async def session_for(
    *addresses: str,
    settings: Settings = OPEN,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    async with guarded_session(
        settings, max_connections=4, resolve=resolver(*addresses), ssl_context=ssl_context
    ) as session:
        yield session


async def body_of(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url, allow_redirects=False) as response:
        return await response.read()
