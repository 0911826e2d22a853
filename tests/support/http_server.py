"""A real HTTP server for an ASGI application, on a free port of loopback. It is the one that Ray Serve's proxy has."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx
import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application while the block runs, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve([listener]))  # noqa: SLF001 - `serve` would take the test's signals
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


class RawCall:
    """One HTTP call that a test writes byte by byte.

    Args:
        url: The URL of the server.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send_head(self, method: str, path: str, **headers: str) -> None:
        """Send the line of the request and its headers. An underscore in a name stands for a dash."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([f"{method} {path} HTTP/1.1", "host: darkroom.test", *lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> httpx.Response:
        """Return the answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]
        body = await self._reader.readexactly(int(dict(headers).get("content-length", "0")))
        return httpx.Response(int(head[0].split()[1]), headers=headers, content=body)

    async def is_closed(self) -> bool:
        """Wait until the server has closed the connection, and return True."""
        try:
            return await self._reader.read() == b""
        except ConnectionError:  # the server closes with bytes unread
            return True
