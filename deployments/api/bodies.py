"""The limits of a JSON body: its size, and the time that it may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from cluster.errors import RefusedError
from deployments.api.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD_PATH = "/api/upload"
MAX_JSON_BYTES = 64 * 1024
"""The size of the largest JSON body. A list of all error codes has less than one kilobyte."""
JSON_BODY_SECONDS = 10.0
"""The time that a JSON body may take."""
_LENGTH_DIGITS = 18


class JsonBodies:
    """Reads a small body as a whole before the next application is called, and refuses a large or slow one.

    In Serve's proxy, a half-sent body so takes no place in a replica. Uploads pass, because they may be large.

    Args:
        app: The next application.
        seconds: The time that the body may take.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = JSON_BODY_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http" or is_upload(scope) or not has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._whole(scope, receive)
        except RefusedError as error:
            await refusal(error)(scope, receive, send)
            return
        if body is None:
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_whole() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, receive_whole, send)

    async def _whole(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, or None when the client has left."""
        if declared_bytes(scope) > MAX_JSON_BYTES:
            raise _too_large_json()
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > MAX_JSON_BYTES:
                        raise _too_large_json()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            detail = f"The body took more than {self._seconds:g} s. Try again on a faster line."
            raise RefusedError(408, "body_too_slow", detail) from None


def is_upload(scope: Scope) -> bool:
    """Return whether the path is that of an upload. A slash at its end gets a redirect."""
    path: str = scope["path"]
    return path.rstrip("/") == UPLOAD_PATH


def has_body(scope: Scope) -> bool:
    """Return whether the headers announce a body."""
    return declared_bytes(scope) > 0 or "transfer-encoding" in Headers(scope=scope)


def declared_bytes(scope: Scope) -> int:
    """Return the size of the body by its header, or 0 without that header."""
    value = Headers(scope=scope).get("content-length", "")
    # `int` refuses very long numbers, and a real length has fewer digits.
    return int(value[:_LENGTH_DIGITS]) if value.isascii() and value.isdecimal() else 0


def _too_large_json() -> RefusedError:
    return RefusedError(413, "too_large", f"The body has more than {MAX_JSON_BYTES:,} bytes. Send only known fields.")
