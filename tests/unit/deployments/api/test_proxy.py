"""The middleware of Serve's proxy, on the HTTP server that the proxy has, before an application in place of Serve."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from cluster.client import ApiError, Darkroom
from deployments.api.problems import problem
from deployments.api.proxy import RETRY_SECONDS, middlewares
from tests.support.http_server import RawCall, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

NO_ROUTE = "Path '/readyz' not found. Ping http://.../-/routes for available routes."
LARGE_BYTES = 50_000_000


def behind(app: ASGIApp) -> ASGIApp:
    """Wrap an application as Ray Serve does."""
    for middleware in middlewares():
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    return app


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with served(behind(app)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """End without an answer, as Serve's proxy does when a replica has died."""


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "a failure of the proxy itself")


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (PlainTextResponse(NO_ROUTE, 404), 503, "starting"),
        (PlainTextResponse("The deployment is unavailable.", 503), 503, "starting"),
        (PlainTextResponse("Too many.", 503, headers={"retry-after": "5"}), 503, "overloaded"),
        (PlainTextResponse("Request x timed out.", 408), 503, "interrupted"),
        (silent, 503, "interrupted"),
        (failing, 500, "internal_error"),
    ],
)
async def test_an_answer_of_serve_itself_becomes_a_problem(app: ASGIApp, status: int, code: str) -> None:
    async with client_of(app) as client:
        answer = await client.get("/readyz")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == (str(RETRY_SECONDS) if status == 503 else None)


async def test_an_upload_that_comes_to_the_other_application_is_told_to_wait() -> None:
    async with client_of(problem(404, "not_found", "Not Found")) as client:
        assert (await client.post("/api/upload", content=b"x")).json()["code"] == "starting"
        assert (await client.get("/api/nothing")).json()["code"] == "not_found"


@pytest.mark.parametrize(
    "answer",
    [
        problem(404, "request_not_found", "No such request."),
        JSONResponse({"ready": False}, 503),
        PlainTextResponse("a,b"),
        Response(status_code=304),
    ],
)
async def test_an_answer_of_darkroom_stays(answer: Response) -> None:
    async with client_of(answer) as client:
        got = await client.get("/api/requests/x")
    assert (got.status_code, got.content) == (answer.status_code, answer.body)


async def test_serves_own_paths_stay_for_load_balancers() -> None:
    async with client_of(PlainTextResponse("This node is being drained.", 503)) as client:
        assert (await client.get("/-/healthz")).text == "This node is being drained."


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(401, "invalid_api_key", "Send a key.")(scope, receive, send)


async def test_a_refusal_before_the_body_closes_the_connection() -> None:
    async with served(behind(refusing)) as url, RawCall(url) as call:
        await call.send_head("POST", "/api/upload", content_length=str(LARGE_BYTES))
        await call.send(bytes(1000))
        answer = await call.answer()
        assert answer.status_code == 401
        assert answer.headers["connection"] == "close"
        assert await call.is_closed()


async def test_a_sender_of_a_large_body_gets_the_refusal() -> None:
    async with served(behind(refusing)) as url:
        with Darkroom(url) as client, pytest.raises(ApiError) as caught:
            await asyncio.to_thread(client.submit, bytes(LARGE_BYTES))
    assert caught.value.code == "invalid_api_key"


async def test_a_body_that_was_read_leaves_the_connection_open() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await problem(422, "invalid_catalogue", "No.")(scope, receive, send)

    async with client_of(reading) as client:
        for path in ("/api/upload", "/api/requests/x/retry"):
            assert "connection" not in (await client.post(path, content=b"x")).headers
        assert "connection" not in (await client.get("/api/requests")).headers


async def test_a_half_sent_body_reaches_no_replica() -> None:
    reached = False

    async def replica(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        reached = True
        await PlainTextResponse("late")(scope, receive, send)

    async with served(behind(replica)) as url, RawCall(url) as half, RawCall(url) as whole:
        await half.send_head("PATCH", "/api/requests/x", content_length="10")
        await half.send(b"{")
        await whole.send_head("PATCH", "/api/requests/x", content_length=str(LARGE_BYTES))
        answer = await whole.answer()
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert not reached
        await half.send(b" " * 9)
        assert (await half.answer()).text == "late"


async def shown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the headers of the request, and with its id a second time, as Serve does."""
    headers = Request(scope).headers
    answer = JSONResponse(dict(headers), headers={"x-request-id": headers["x-request-id"]})
    answer.raw_headers.append((b"x-request-id", headers["x-request-id"].encode()))
    await answer(scope, receive, send)


@pytest.mark.parametrize("given", [b"\xe9", b"x" * 129, b"a b", b"", "☃".encode()])
async def test_a_request_id_that_is_not_valid_is_replaced(given: bytes) -> None:
    async with client_of(shown) as client:
        answer = await client.get("/", headers=[(b"x-request-id", given)])
    (identifier,) = answer.headers.get_list("x-request-id")
    assert identifier.startswith("http_")
    assert answer.json()["x-request-id"] == identifier


async def test_a_valid_request_id_stays_and_refusals_have_one_too() -> None:
    async with client_of(shown) as client:
        kept = await client.get("/", headers={"x-request-id": "mine-1"})
        refused = await client.patch("/", content=bytes(LARGE_BYTES // 500), headers={"x-request-id": "mine-2"})
    assert kept.headers.get_list("x-request-id") == ["mine-1"]
    assert (refused.status_code, refused.headers["x-request-id"]) == (413, "mine-2")


async def test_a_caller_cannot_steer_ray_serve() -> None:
    steering = {
        "x-request-timeout-seconds": "0",
        "X-Request-Disconnect-Disabled": "?1",
        "x_session_id": "\xe9",
        "serve_multiplexed_model_id": "x",
    }
    async with client_of(shown) as client:
        answer = await client.get("/", headers=[(name.encode(), value.encode()) for name, value in steering.items()])
    assert not {name.lower() for name in steering} & answer.json().keys()
