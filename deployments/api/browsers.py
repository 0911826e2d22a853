"""The rules for browsers: another site may make no change, and no other site may frame or read an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from cluster.errors import RefusedError
from cluster.http.url import origin_of
from deployments.api.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DOCS_PATH = "/docs"
_OWN_SITES = frozenset({"same-origin", "none"})  # none: you typed the address
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The policy of `/docs`. Its page has a script and styles of its own, and no text of a caller."""
_HTTPS_ALONE = "max-age=31536000"  # a year


class OwnSite:
    """Refuses a change that a browser sends for another site.

    A browser tells the site by `Sec-Fetch-Site`, and an old one by `Origin`. A program sends neither.

    Args:
        app: The next application.
        public_url: The URL under which browsers reach the service, if it is not the `Host` of a request.
    """

    def __init__(self, app: ASGIApp, *, public_url: str | None) -> None:
        self._app = app
        self._public_origin = None if public_url is None else origin_of(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS or self._is_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        detail = "A page of another site sent this call. Send it from Darkroom's own pages, or from a program."
        await refusal(RefusedError(403, "cross_site", detail))(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site in _OWN_SITES
        host = headers.get("host", "").lower()
        own = {f"http://{host}", f"https://{host}", self._public_origin}
        return origin is None or origin.lower() in own


class SecurityHeaders:
    """Tells browsers to guess no type, to show no answer in a frame, and to load nothing else for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"] == DOCS_PATH:
                    headers.setdefault("Content-Security-Policy", _DOCS_POLICY)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = _HTTPS_ALONE
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
