"""The two FastAPI applications: one takes uploads, the other one answers all other routes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from cluster import __version__
from deployments.api.authentication import DOCS_FILES, OPEN_PATHS, OPENAPI_PATH, Authentication
from deployments.api.bodies import JsonBodies
from deployments.api.browsers import DOCS_PATH, OwnSite
from deployments.api.middleware import Outermost
from deployments.api.problems import PROBLEM_SCHEMA, PROBLEM_TYPE, install_problem_handlers
from deployments.api.routes import changes, deliveries, health, results, status, upload
from deployments.api.upload_bodies import FORM_OVERHEAD_BYTES, UploadBodies, UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import ASGIApp

    from deployments.api.services import Services

UPLOAD_ROUTERS = (upload.router,)
STATUS_ROUTERS = (status.router, results.router, changes.router, deliveries.router, health.router)
_PROBLEM_RESPONSE = {
    "description": "A problem document (RFC 9457): 400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500 or 503.",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def upload_app(services: Services) -> ASGIApp:
    """Return the application that takes uploads. It scales with the number of simultaneous uploads."""
    app = FastAPI(**_lifespan(services), openapi_url=None)
    settings = services.settings
    limits = UploadLimits(
        max_bytes=settings.max_upload_bytes + FORM_OVERHEAD_BYTES,
        idle_seconds=settings.upload_idle_seconds,
        total_seconds=settings.upload_timeout_seconds,
    )
    app.add_middleware(UploadBodies, limits=limits)
    return _complete(services, UPLOAD_ROUTERS, app)


def status_app(services: Services) -> ASGIApp:
    """Return the application that answers all other routes. Its `/docs` and `/openapi.json` show both applications."""
    app = FastAPIOffline(
        docs_url=DOCS_PATH,
        redoc_url=None,
        openapi_url=OPENAPI_PATH,
        static_url=DOCS_FILES,
        title="Darkroom",
        version=__version__,
        **_lifespan(services),
    )
    app.openapi = _openapi  # type: ignore[method-assign] # how FastAPI's documentation extends the schema
    app.add_middleware(JsonBodies)
    return _complete(services, STATUS_ROUTERS, app)


def _lifespan(services: Services) -> dict[str, Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with services.running():
            yield

    return {"lifespan": lifespan}


def _complete(services: Services, routers: Sequence[APIRouter], app: FastAPI) -> ASGIApp:
    app.state.services = services
    for router in routers:
        app.include_router(router)
    install_problem_handlers(app)
    # A request passes the last added middleware first.
    app.add_middleware(Authentication, keys=services.keys)
    app.add_middleware(OwnSite, public_url=services.settings.public_url)
    return Outermost(app)


def _openapi() -> dict[str, Any]:
    routes = [route for router in (*UPLOAD_ROUTERS, *STATUS_ROUTERS) for route in router.routes]
    schema = get_openapi(
        title="Darkroom",
        version=__version__,
        description="Bulk image compression: a CSV of image URLs in, smaller copies in your own bucket out.",
        routes=routes,
    )
    schema["components"]["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
    schema["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
    schema["security"] = [{"apiKey": []}]
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # FastAPI's own form of an error
            operation["responses"]["default"] = _PROBLEM_RESPONSE
            if path in OPEN_PATHS:
                operation["security"] = []
    return schema
