"""Errors as RFC 9457 problem documents: a stable code, text for the client, and nothing internal."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cluster.errors import CatalogueError, RefusedError, StoreUnavailableError
from deployments.api.text import printable

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

PROBLEM_TYPE = "application/problem+json"
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The error, and how to correct it."},
        "code": {"type": "string", "description": "A stable code for programs."},
        "errorCount": {"type": "integer", "description": "The number of all errors of a CSV."},
        "errors": {
            "type": "array",
            "description": "The first 1,000 errors of a CSV.",
            "items": {"$ref": "#/components/schemas/RowProblem"},
        },
    },
}
"""The schema of a problem document for OpenAPI."""
_STORE_AWAY_RETRY_SECONDS = 5
_STORE_NAMES = {"mongodb": "MongoDB", "redis": "Redis", "s3": "S3"}
logger = logging.getLogger("darkroom.api")


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: object
) -> JSONResponse:
    """Return a problem document. `members` are added as they are, so their names must be in camelCase."""
    body: dict[str, Any] = {
        "type": f"urn:darkroom:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": printable(detail),  # it may quote the request
        "code": code,
    }
    return JSONResponse(body | members, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of this application with a problem document."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(StoreUnavailableError, _store_unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unforeseen)


def refusal(error: RefusedError) -> JSONResponse:
    """Return the answer to a `RefusedError`."""
    members: dict[str, object] = {}
    if isinstance(error, CatalogueError):
        members = {
            "errors": [problem.model_dump(mode="json") for problem in error.problems],
            "errorCount": error.total,
        }
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    return problem(error.status, error.code, error.detail, headers=headers, **members)


def store_away(error: StoreUnavailableError) -> JSONResponse:
    """Return the answer while a store is away."""
    logger.warning("answered 503: %s", error)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store_unavailable",
        f"{_STORE_NAMES.get(error.store, 'A store')} does not answer. Try again later. "
        "Repeat an upload with the same Idempotency-Key, and it is processed once.",
        headers={"Retry-After": str(_STORE_AWAY_RETRY_SECONDS)},
    )


def internal_error() -> JSONResponse:
    """Return the answer to an error of Darkroom itself."""
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Darkroom failed on this request. The log has details under the X-Request-Id of this answer.",
    )


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)  # noqa: S101 - the handler is registered for this class
    return refusal(error)


async def _store_unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StoreUnavailableError)  # noqa: S101 - the handler is registered for this class
    return store_away(error)


async def _invalid_parameters(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler is registered for this class
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    message = str(first["msg"]).removeprefix("Value error, ")
    return problem(HTTPStatus.BAD_REQUEST, "invalid_parameter", f"{name}: {message}" if name else message)


async def _http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for this class
    status = HTTPStatus(error.status_code)
    return problem(status, status.name.lower(), str(error.detail), headers=dict(error.headers or {}))


async def _client_left(_request: Request, _error: Exception) -> JSONResponse:
    return problem(HTTPStatus.BAD_REQUEST, "client_left", "The connection ended before the request was complete.")


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.error("answered 500", exc_info=error, extra={"httpRequestId": request.state.http_request_id})
    return internal_error()
