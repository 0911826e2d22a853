"""The middleware that every HTTP request passes before a route sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from cluster.identifiers import new_identifier
from deployments.api.request_id import REQUEST_ID_HEADER, given_request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
        given = given_request_id(Headers(scope=scope))
        identifier = given or new_identifier("http")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and given is None:
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identifier
            await send(message)

        state = {**scope.get("state", {}), "http_request_id": identifier}
        await self._app({**scope, "root_path": "", "state": state}, receive, send_with_id)
