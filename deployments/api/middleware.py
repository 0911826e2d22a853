"""The middleware that every HTTP request passes before a route sees it."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from cluster.errors import RefusedError, StoreUnavailableError
from cluster.identifiers import new_identifier
from deployments.api.problems import refused, store_unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cluster.mongo.api_keys import ApiKeyStore

_LENGTH_DIGITS = 18
OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class Outermost:
    """Adds an `X-Request-Id` to every answer, and routes by the whole path, without the prefix that Serve matched.

    Under Ray Serve, every request and its answer have an id already. This middleware adds one without Serve.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id")
        identifier = given or new_identifier("http")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and given is None:
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            await send(message)

        state = {**scope.get("state", {}), "http_request_id": identifier}
        await self._app({**scope, "root_path": "", "state": state}, receive, send_with_id)


class Authentication:
    """Refuses every request without an API key, except health checks. Puts the key into the state of the request.

    A key comes as `Authorization: Bearer <key>`. A browser may send it as the password of `Basic`.
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeyStore) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            key = await self._keys.verify(_token(request.headers))
        except StoreUnavailableError as error:
            await (await store_unavailable(request, error))(scope, receive, send)
            return
        if key is None:
            refusal = RefusedError(401, "invalid_api_key", "Send a valid API key as `Authorization: Bearer <key>`.")
            await (await refused(request, refusal))(scope, receive, send)
            return
        request.state.key = key
        await self._app(scope, receive, send)


def _token(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not ASCII, not base64, not UTF-8
            return ""
    return ""


class BodyLimit:
    """Refuses a body that is too large or too slow. The size is checked in the header and while the body streams.

    Args:
        app: The next application.
        max_bytes: The size of the largest body.
        idle_seconds: The time in which nothing may come.
        total_seconds: The time that the whole body may take.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, idle_seconds: float, total_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._total_seconds = total_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_bytes, complete = 0, False
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._total_seconds

        async def counted_receive() -> Message:
            nonlocal received_bytes, complete
            if complete:
                return await receive()
            if _declared_bytes(scope) > self._max_bytes:
                raise self._too_large()
            try:
                message = await asyncio.wait_for(receive(), min(self._idle_seconds, max(0, deadline - clock())))
            except TimeoutError:
                raise self._too_slow() from None
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_bytes:
                raise self._too_large()
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, counted_receive, send)

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            "too_large",
            f"The upload has more than {self._max_bytes:,} bytes, form included. Divide the catalogue.",
        )

    def _too_slow(self) -> RefusedError:
        detail = (
            f"The upload stood still for {self._idle_seconds:g} s, or took more than {self._total_seconds:g} s in all. "
            "Try again on a faster line, or divide the catalogue."
        )
        return RefusedError(408, "upload_too_slow", detail)


def _declared_bytes(scope: Scope) -> int:
    value = Headers(scope=scope).get("content-length", "")
    # `int` refuses very long numbers, and a real length has fewer digits.
    return int(value[:_LENGTH_DIGITS]) if value.isascii() and value.isdecimal() else 0
