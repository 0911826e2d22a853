"""The HTTP face in the test's own process, on real stores."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from cluster.records import Scope
from deployments.api.app import status_app, upload_app
from deployments.api.services import Services
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from cluster.settings import Settings


class Api(httpx.AsyncClient):
    """A client of the application, with a key of all scopes, and the services behind it."""

    def __init__(self, services: Services, transport: httpx.AsyncBaseTransport, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        super().__init__(transport=transport, base_url="http://darkroom.test", headers=headers)
        self.services = services

    async def stored(self) -> tuple[int, int]:
        """Return how many requests and products MongoDB has."""
        database = self.services.database
        return await database.requests.count_documents({}), await database.products.count_documents({})

    async def key(self, *scopes: Scope) -> dict[str, str]:
        """Return the header of a new key."""
        _, token = await self.services.keys.create(name="another", scopes=scopes)
        return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def running_app(settings: Settings, *, prepared: bool = True) -> AsyncIterator[Api]:
    """Run both applications, routed as by Ray Serve. With `prepared` False, do not wait for the stores."""
    services = Services(settings)
    upload, status = upload_app(services), status_app(services)

    async def routed(scope: AsgiScope, receive: Receive, send: Send) -> None:
        app = upload if scope["path"].startswith("/api/upload") else status
        await app(scope, receive, send)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services.running())

        async def is_prepared() -> bool:
            return services.unprepared is None

        token = ""
        if prepared:
            await wait_until_async(is_prepared, "the application has prepared its stores")
            _, token = await services.keys.create(name="test", scopes=list(Scope))
        transport = httpx.ASGITransport(routed, raise_app_exceptions=False)
        yield await stack.enter_async_context(Api(services, transport, token))


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem document, checked for what all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"].startswith("http_")
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:darkroom:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in response.text
    return problem
