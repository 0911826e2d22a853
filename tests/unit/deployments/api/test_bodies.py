"""The limits of a body, on a real HTTP server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.api.bodies import MAX_JSON_BYTES, JsonBodies
from tests.support.http_server import RawCall, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send


async def echo_size(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await JSONResponse({"bytes": len(body)})(scope, receive, send)


@asynccontextmanager
async def client_of(app: JsonBodies) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def streamed(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_small_body_comes_as_a_whole() -> None:
    async with client_of(JsonBodies(echo_size)) as client:
        assert (await client.patch("/", content=bytes(MAX_JSON_BYTES))).json() == {"bytes": MAX_JSON_BYTES}
        assert (await client.patch("/", content=streamed(b"ab", b"c"))).json() == {"bytes": 3}
        assert (await client.get("/")).json() == {"bytes": 0}


async def test_a_large_body_is_refused_with_413() -> None:
    body = bytes(MAX_JSON_BYTES + 1)
    async with client_of(JsonBodies(echo_size)) as client:
        for content in (body, streamed(body, body)):
            answer = await client.patch("/", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_is_refused_with_408() -> None:
    async with served(JsonBodies(echo_size, seconds=0.2)) as url, RawCall(url) as call:
        await call.send_head("PATCH", "/", content_length="10")
        await call.send(b"{")
        answer = await call.answer()
    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")
