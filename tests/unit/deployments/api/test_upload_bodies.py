"""One key's slow uploads take few places, and an upload that brings nothing ends soon. All on a real HTTP server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from cluster.errors import RefusedError
from cluster.mongo.api_keys import new_key
from cluster.records import Scope as KeyScope
from deployments.api.problems import refusal
from deployments.api.upload_bodies import (
    MAX_SLOW_UPLOADS_PER_KEY,
    MIN_BYTES_PER_SECOND,
    UploadBodies,
    UploadLimits,
)
from tests.support.http_server import RawCall, served

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMITS = UploadLimits(max_bytes=200_000, idle_seconds=30, total_seconds=60, grace_seconds=30, slow_seconds=0.3)
HALF_SENT = 3 * MAX_SLOW_UPLOADS_PER_KEY
pytestmark = pytest.mark.timeout(30)


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        answer = JSONResponse({"bytes": len(await Request(scope, receive).body())})
    except RefusedError as error:
        answer = refusal(error)
    await answer(scope, receive, send)


def keyed(limits: UploadLimits) -> ASGIApp:
    """Return the limits behind a check that takes the owner from a header."""
    limited = UploadBodies(read, limits=limits)
    keys = {owner: new_key(name=owner, scopes=list(KeyScope), owner=owner)[0] for owner in ("greedy", "modest")}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        owner = Request(scope).headers.get("x-owner", "modest")
        await limited({**scope, "state": {"key": keys[owner]}}, receive, send)

    return cast("ASGIApp", app)


async def half_send(call: RawCall, owner: str) -> None:
    await call.send_head("POST", "/api/upload", content_length="1000", x_owner=owner)
    await call.send(b"x" * 10)


async def statuses(calls: list[RawCall], expected: int) -> list[httpx.Response]:
    """Return the first answers, when so many have come."""
    waiting = {asyncio.create_task(call.answer()) for call in calls}
    got: list[httpx.Response] = []
    while len(got) < expected:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        got += [task.result() for task in done]
    for task in waiting:
        task.cancel()
    return got


async def test_half_sent_uploads_of_one_key_leave_places_to_others() -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(keyed(LIMITS)))
        calls = [await stack.enter_async_context(RawCall(url)) for _ in range(HALF_SENT)]
        for call in calls:
            await half_send(call, "greedy")
        refused = await statuses(calls, HALF_SENT - MAX_SLOW_UPLOADS_PER_KEY)
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "too_many_uploads")}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            at_once = await client.post("/api/upload", content=b"x", headers={"x-owner": "greedy"})
            assert at_once.json()["code"] == "too_many_uploads"
            assert (await client.post("/api/upload", content=b"x")).json() == {"bytes": 1}


async def test_an_upload_that_is_complete_leaves_its_place() -> None:
    async with served(keyed(LIMITS)) as url:
        for _ in range(2):
            async with AsyncExitStack() as stack:
                calls = [await stack.enter_async_context(RawCall(url)) for _ in range(MAX_SLOW_UPLOADS_PER_KEY)]
                for call in calls:
                    await half_send(call, "greedy")
                answers = [asyncio.create_task(call.answer()) for call in calls]
                await asyncio.wait(answers, timeout=2 * LIMITS.slow_seconds)
                for call in calls:
                    await call.send(b"x" * 990)
                assert [(await answer).json() for answer in answers] == [{"bytes": 1000}] * len(calls)


@pytest.mark.parametrize(
    "limits",
    [
        UploadLimits(max_bytes=200_000, idle_seconds=30, total_seconds=60, grace_seconds=0.2),
        UploadLimits(max_bytes=200_000, idle_seconds=0.2, total_seconds=60),
        UploadLimits(max_bytes=200_000, idle_seconds=30, total_seconds=0.2),
    ],
    ids=["pace", "idle", "total"],
)
async def test_an_upload_that_brings_too_little_is_refused_with_408(limits: UploadLimits) -> None:
    async with served(keyed(limits)) as url, RawCall(url) as call:
        await half_send(call, "modest")
        answer = await call.answer()
    assert (answer.status_code, answer.json()["code"]) == (408, "upload_too_slow")


async def test_a_drip_that_never_stands_still_is_refused_too() -> None:
    limits = UploadLimits(max_bytes=200_000, idle_seconds=30, total_seconds=60, grace_seconds=0.5)
    dripped = 0
    async with served(keyed(limits)) as url, RawCall(url) as call:
        await half_send(call, "modest")
        answer = asyncio.create_task(call.answer())
        while not answer.done():
            await call.send(b"x")
            dripped += 1
            await asyncio.wait([answer], timeout=0.05)
        assert answer.result().json()["code"] == "upload_too_slow"
    assert 5 < dripped < 0.5 * MIN_BYTES_PER_SECOND


async def test_an_upload_in_pace_may_take_its_time() -> None:
    limits = UploadLimits(max_bytes=200_000, idle_seconds=30, total_seconds=60, grace_seconds=0.2, slow_seconds=0.1)
    async with served(keyed(limits)) as url, RawCall(url) as call:
        await call.send_head("POST", "/api/upload", content_length="40010")
        answer = asyncio.create_task(call.answer())
        await call.send(b"x" * 40_000)
        await asyncio.wait([answer], timeout=1)
        assert not answer.done()
        await call.send(b"x" * 10)
        assert (await answer).json() == {"bytes": 40_010}


async def test_413_comes_before_the_body_is_read() -> None:
    async with served(keyed(LIMITS)) as url, RawCall(url) as call:
        await call.send_head("POST", "/api/upload", content_length="200001")
        assert (await call.answer()).json()["code"] == "too_large"


async def test_a_stall_of_the_service_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.api.upload_bodies._LOOK_SECONDS", 0.05)
    limits = UploadLimits(max_bytes=200_000, idle_seconds=0.2, total_seconds=0.5, grace_seconds=0.3)
    parts: asyncio.Queue[Message] = asyncio.Queue()
    received: list[bytes] = []

    async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
        is_complete = False
        while not is_complete:
            message = await receive()
            received.append(message["body"])
            is_complete = not message["more_body"]
            time.sleep(0.6)  # noqa: ASYNC251 - the event loop is busy with something else

    def come(body: bytes, *, more: bool) -> None:
        parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    loop = asyncio.get_running_loop()
    loop.call_soon(time.sleep, 0.6)
    loop.call_later(0.1, lambda: come(b"first", more=True))
    loop.call_later(0.2, lambda: come(b"last", more=False))
    key = new_key(name="shop", scopes=list(KeyScope), owner="shop")[0]
    scope = {"type": "http", "headers": [], "state": {"key": key}}
    await UploadBodies(read_all, limits=limits)(scope, parts.get, cast("Send", None))
    assert received == [b"first", b"last"]
