"""What happens to every HTTP request before a route sees it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from cluster.errors import RefusedError, StoreUnavailableError
from cluster.identifiers import new_identifier
from deployments.problems import refused, store_unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cluster.mongo.api_keys import ApiKeyStore

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class Outermost:
    """Gives every answer an `X-Request-Id` of ours, and routes by the whole path, whatever prefix Serve has matched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = new_identifier("http")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            await send(message)

        await self._app({**scope, "root_path": ""}, receive, send_with_id)


class Authentication:
    """Lets nobody in without an API key, except to the health checks; puts the key into the request's state.

    A key comes as `Authorization: Bearer <key>`; a browser may send it as the password of `Basic`.
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeyStore) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
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
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


class BodyLimit:
    """Refuses a body that is larger than the limit, by its header or while it streams, and one that stalls."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, idle_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_bytes, complete = 0, False

        async def counted_receive() -> Message:
            nonlocal received_bytes, complete
            if complete:
                return await receive()
            if _declared_bytes(scope) > self._max_bytes:
                raise self._too_large()
            try:
                message = await asyncio.wait_for(receive(), self._idle_seconds)
            except TimeoutError:
                detail = f"No data came for {self._idle_seconds:g} s; the upload was given up."
                raise RefusedError(408, "upload_stalled", detail) from None
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_bytes:
                raise self._too_large()
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, counted_receive, send)

    def _too_large(self) -> RefusedError:
        return RefusedError(413, "too_large", f"The upload is larger than {self._max_bytes:,} bytes.")


def _declared_bytes(scope: Scope) -> int:
    value = Headers(scope=scope).get("content-length", "")
    return int(value) if value.isascii() and value.isdecimal() else 0
