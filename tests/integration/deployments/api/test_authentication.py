"""A caller without a valid key, and a body that is too large, are refused before a route is reached."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest

from cluster.records import Scope
from deployments.api.authentication import DOCS_FILES
from tests.support.app import refused
from tests.support.catalogues import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.app import Api

GOOD = catalogue(["https://shop.example/a.jpg"])
pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_stored")]


@pytest.mark.parametrize("given", [b"\xe9", b"x" * 8000])
async def test_a_request_id_that_is_not_valid_is_replaced(api: Api, given: bytes) -> None:
    response = await api.get("/healthz", headers=[(b"x-request-id", given)])
    assert response.headers["x-request-id"].startswith("http_")


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer dk_1_2", "Basic eDp5", "Basic !", "Digest x"])
async def test_401_without_a_valid_key(api: Api, authorization: str) -> None:
    response = await api.post("/api/upload", files={"file": GOOD}, headers={"authorization": authorization})
    refused(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_basic_opens_the_documentation_alone(api: Api) -> None:
    token = api.headers["authorization"].removeprefix("Bearer ")
    basic = {"authorization": "Basic " + base64.b64encode(f"me:{token}".encode()).decode()}
    for path in ("/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
        assert (await api.get(path, headers=basic)).status_code == 200, path
        asked = await api.get(path, headers={"authorization": ""})
        assert (asked.status_code, asked.headers["www-authenticate"][:5]) == (401, "Basic")
    refused(await api.get("/api/requests", headers=basic), 401, "invalid_api_key")
    refused(await api.get("/redoc"), 404, "not_found")
    evil = {**basic, "origin": "https://evil.example"}
    refused(await api.post("/api/upload", files={"file": GOOD}, headers=basic), 401, "invalid_api_key")
    refused(await api.post("/api/upload", files={"file": GOOD}, headers=evil), 403, "cross_site")


async def test_the_documentation_loads_its_own_files_alone(api: Api) -> None:
    page = await api.get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 3
    assert all(path.startswith(f"{DOCS_FILES}/") for path in loaded)


async def test_401_with_a_revoked_key(api: Api) -> None:
    key, token = await api.services.keys.create(name="old", scopes=list(Scope))
    headers = {"authorization": f"Bearer {token}"}
    assert (await api.get("/api/requests", headers=headers)).status_code == 200
    assert await api.services.keys.revoke(key.key_id)
    refused(await api.get("/api/requests", headers=headers), 401, "invalid_api_key")


async def test_401_a_key_with_another_secret(api: Api) -> None:
    headers = await api.key(*Scope)
    refused(
        await api.get("/api/requests", headers={"authorization": headers["authorization"] + "x"}),
        401,
        "invalid_api_key",
    )


async def test_403_with_a_key_that_may_only_read(api: Api) -> None:
    response = await api.post("/api/upload", files={"file": GOOD}, headers=await api.key(Scope.READ))
    refused(response, 403, "missing_scope")


class Counted:
    """A large body that counts how often it was asked for a piece."""

    def __init__(self) -> None:
        self.pieces = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(100):
            self.pieces += 1
            yield b"{}," * 10_000


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/api/requests/x"), ("POST", "/api/upload")])
async def test_401_and_403_come_before_a_byte_of_the_body_is_read(api: Api, method: str, path: str) -> None:
    body = Counted()
    headers = {"content-type": "application/json", "authorization": ""}
    refused(await api.request(method, path, content=body, headers=headers), 401, "invalid_api_key")
    headers |= await api.key(Scope.READ)
    refused(await api.request(method, path, content=body, headers=headers), 403, "missing_scope")
    assert body.pieces == 0


async def test_413_a_body_that_is_too_large_for_its_route(api: Api) -> None:
    body = Counted()
    headers = {"content-type": "application/json"}
    refused(await api.patch("/api/requests/x", content=body, headers=headers), 413, "too_large")
    assert body.pieces < 5


async def test_no_route_but_health_answers_without_a_key(api: Api) -> None:
    schema = json.loads((await api.get("/openapi.json")).text)
    assert len(schema["paths"]) >= 8
    for path, methods in schema["paths"].items():
        for method in methods:
            response = await api.request(method, path, headers={"authorization": ""})
            assert (response.status_code == 401) is (path not in {"/healthz", "/readyz"}), path
    for path in ("/docs", "/openapi.json", "/", "/api/nothing"):
        assert (await api.get(path, headers={"authorization": ""})).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_load_balancer_may_ask_for_no_body(api: Api, path: str) -> None:
    answer = await api.request("HEAD", path, headers={"authorization": ""})
    assert answer.status_code == 200
