"""The middleware of Ray Serve's proxy, which every request passes before a replica is chosen.

`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names `middlewares`, and Ray Serve calls it in the proxy of each node.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware

from cluster.identifiers import new_identifier
from deployments.api.bodies import JsonBodies, has_body, is_upload
from deployments.api.browsers import SecurityHeaders
from deployments.api.problems import internal_error, problem
from deployments.api.request_id import REQUEST_ID_HEADER, given_request_id

if TYPE_CHECKING:
    from fastapi.responses import JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_SECONDS = 5
"""A part that has died is back after five to twenty seconds."""
LINGER_SECONDS = 1.0
"""The time in which a client can read a refusal before its connection is closed."""
_SERVES_OWN_HEADERS = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"x-session-id", b"serve-multiplexed-model-id"}
)
_SERVES_OWN_PATHS = "/-/"
logger = logging.getLogger("darkroom.proxy")


def middlewares() -> list[Middleware]:
    """Return the middleware, the innermost first."""
    classes = (ServeAnswers, JsonBodies, UnreadBodies, SecurityHeaders, ValidHeaders)
    return [Middleware(each) for each in classes]


class ServeAnswers:
    """Replaces each answer of Ray Serve itself by a problem document that tells when to try again.

    Serve's proxy knows no route while Serve starts, and answers 404. It answers nothing when a replica dies at work.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http" or scope["path"].startswith(_SERVES_OWN_PATHS):
            await self._app(scope, receive, send)
            return
        started, instead = False, None

        async def send_unless_replaced(message: Message) -> None:
            nonlocal started, instead
            if message["type"] == "http.response.start":
                started, instead = True, _instead_of(scope, message)
            if instead is None:
                await send(message)

        try:
            await self._app(scope, receive, send_unless_replaced)
        except Exception:
            if started and instead is None:
                raise
            logger.exception("the proxy failed on a request")
            instead = internal_error()
        if not started and instead is None:
            instead = _interrupted()
        if instead is not None:
            await instead(scope, receive, send)


def _instead_of(scope: Scope, start: Message) -> JSONResponse | None:
    """Return a problem document in place of the answer that starts so, or None when the answer is Darkroom's own."""
    status, headers = start["status"], Headers(scope=start)
    is_plain = headers.get("content-type", "").startswith("text/plain")
    is_away = is_plain and status == HTTPStatus.SERVICE_UNAVAILABLE
    # While only the application at `/` has a route, uploads come to it.
    no_route = status == HTTPStatus.NOT_FOUND and (is_plain or is_upload(scope))
    if no_route or (is_away and "retry-after" not in headers):
        return _problem("starting", "The service starts, or starts a part of it again. Try again in a few seconds.")
    if is_away:
        return _problem("overloaded", "Too many calls come at the same time. Try again in a few seconds.")
    if is_plain and status >= HTTPStatus.BAD_REQUEST:
        return _interrupted()
    return None


def _interrupted() -> JSONResponse:
    detail = (
        "The service lost this call, because a part of it has ended. "
        "Try again, and repeat an upload with the same Idempotency-Key."
    )
    return _problem("interrupted", detail)


def _problem(code: str, detail: str) -> JSONResponse:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers={"Retry-After": str(RETRY_SECONDS)})


class UnreadBodies:
    """Closes the connection after an answer that leaves a part of the body unread.

    Without that, the server reads the rest of the body to find the next request. The connection is closed a moment
    later, and nothing is read meanwhile. A client whose sending is reset at once may never see the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        complete, closing = False, False

        async def receive_until_answer() -> Message:
            nonlocal complete
            if closing:
                return {"type": "http.disconnect"}
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and not complete:
                closing = True
                MutableHeaders(scope=message)["Connection"] = "close"
            if closing and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await asyncio.sleep(LINGER_SECONDS)
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, receive_until_answer, send_and_close)


class ValidHeaders:
    """Gives each request and its answer a valid `X-Request-Id`, and drops headers that are meant for Ray Serve.

    Serve's proxy decodes these headers as UTF-8, and fails on others. By some of them, a caller can turn off timeouts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(raw=[(name, value) for name, value in scope["headers"] if not _is_serves(name)])
        identifier = given_request_id(headers) or new_identifier("http")
        headers[REQUEST_ID_HEADER] = identifier

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identifier
            await send(message)

        await self._app({**scope, "headers": headers.raw}, receive, send_with_id)


def _is_serves(name: bytes) -> bool:
    return name.lower().replace(b"_", b"-") in _SERVES_OWN_HEADERS
