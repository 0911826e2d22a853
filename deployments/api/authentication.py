"""The check of the API key and its scope, before a byte of the body is read."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request

from cluster.errors import RefusedError, StoreUnavailableError
from cluster.records import Scope as KeyScope
from deployments.api.browsers import DOCS_PATH, SAFE_METHODS
from deployments.api.problems import refusal, store_away

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cluster.mongo.api_keys import ApiKeyStore
    from cluster.records import ApiKey

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
OPENAPI_PATH = "/openapi.json"
DOCS_FILES = "/static-offline-docs"
_ASK_FOR_BASIC = 'Basic realm="Darkroom", charset="UTF-8"'
_ASK_FOR_BEARER = 'Bearer realm="Darkroom"'


class Authentication:
    """Refuses every request without an API key of the right scope, except health checks.

    A request that changes nothing needs the scope `read`, and any other one needs `write`. The key is put into the
    state of the request. It comes as `Authorization: Bearer <key>`.

    For `/docs`, a browser may send it as the password of `Basic`. No other path takes `Basic`, because a browser sends
    it by itself, also for a page of another site.
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
            request.state.key = await self._permitted_key(request)
        except StoreUnavailableError as error:
            answer = store_away(error)
        except RefusedError as error:
            answer = refusal(error)
            if error.status == HTTPStatus.UNAUTHORIZED:
                answer.headers["WWW-Authenticate"] = _ASK_FOR_BASIC if _is_for_docs(request) else _ASK_FOR_BEARER
        else:
            await self._app(scope, receive, send)
            return
        await answer(scope, receive, send)

    async def _permitted_key(self, request: Request) -> ApiKey:
        key = await self._keys.verify(_token(request))
        if key is None:
            raise RefusedError(401, "invalid_api_key", "Send a valid API key as `Authorization: Bearer <key>`.")
        needed = KeyScope.READ if request.method in SAFE_METHODS else KeyScope.WRITE
        if needed not in key.scopes:
            detail = f"This API key does not have the scope `{needed}`. Use a key that has it."
            raise RefusedError(403, "missing_scope", detail)
        return key


def _token(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic" and _is_for_docs(request):
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not ASCII, not base64, not UTF-8
            return ""
    return ""


def _is_for_docs(request: Request) -> bool:
    path = request.url.path
    is_docs = path in {DOCS_PATH, OPENAPI_PATH} or path.startswith(f"{DOCS_FILES}/")
    return is_docs and request.method in SAFE_METHODS
