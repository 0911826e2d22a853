"""An upload is accepted by one commit, once, however often it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster.mongo.requests import RequestQueue
from cluster.records import Scope
from deployments.api.health_check import HEALTH_TTL_SECONDS
from tests.support.app import running_app
from tests.support.catalogues import catalogue
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.settings import Settings
    from tests.support.app import Api

FILE = catalogue(["https://shop.invalid/a.jpg", "https://shop.invalid/b.jpg"], ["https://shop.invalid/c.jpg"])
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
async def api(isolated: Settings) -> AsyncIterator[Api]:
    async with running_app(isolated) as running:
        yield running


async def upload(api: Api, file: bytes = FILE, /, *, key: str | None = None, **fields: str) -> httpx.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await api.post("/api/upload", files={"file": ("mine.csv", file)}, data=fields, headers=headers)


async def test_202_says_where_to_look(api: Api) -> None:
    response = await upload(api, priority="7")
    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["status"] == "pending"
    assert answer["counts"] == {"rows": 2, "products": 2, "images": 3}
    assert answer["rejectedRows"] == []
    assert response.headers["location"] == f"/api/status/{answer['requestId']}"
    status = (await api.get(response.headers["location"])).json()
    assert status["filename"] == "mine.csv"
    assert status["priority"] == 7
    assert [product["row"] for product in status["products"]] == [2, 3]


async def test_a_raw_body_is_taken_too(api: Api) -> None:
    response = await api.post(
        "/api/upload?priority=9", content=FILE, headers={"content-type": "text/csv; charset=utf-8"}
    )
    assert response.status_code == 202, response.text
    assert (await api.get(response.headers["location"])).json()["priority"] == 9


async def test_a_semicolon_file_with_a_byte_order_mark_is_taken(api: Api) -> None:
    file = "\ufeffS. No.;Title;Image Src;Price\r\n1;Chäir;https://shop.invalid/ä.jpg;9,90\r\n".encode()
    response = await upload(api, file)
    assert response.status_code == 202, response.text
    request_id = response.json()["requestId"]
    results = await api.get(f"/api/requests/{request_id}/results.csv")
    header = "\ufeffS. No.;Title;Image Src;Price;Output Image Urls;Errors\r\n"
    assert results.content.decode().startswith(header + "1;Chäir;https://shop.invalid/ä.jpg;9,90;")


async def test_rows_with_errors_can_be_skipped(api: Api) -> None:
    response = await upload(api, catalogue(["https://shop.invalid/a.jpg"], ["htp://x"]), onInvalidRow="skip")
    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["counts"] == {"rows": 2, "products": 1, "images": 1}
    assert [(error["row"], error["code"]) for error in answer["rejectedRows"]] == [(3, "invalid_url")]
    assert "1 row" in answer["message"]


async def test_503_when_the_queue_is_full(api: Api) -> None:
    queued = sum(load.images for load in (await RequestQueue(api.services.database).load()).values())
    full = api.services.settings.model_copy(update={"max_queued_images": queued + 2})
    async with running_app(full) as another:
        before = await another.stored()
        response = await upload(another)
        assert response.status_code == 503
        assert response.json()["code"] == "queue_full"
        assert int(response.headers["retry-after"]) > 0
        assert await another.stored() == before


async def test_503_while_mongodb_is_away(isolated: Settings, unused_tcp_port: int) -> None:
    away = isolated.model_copy(
        update={"mongo_url": f"mongodb://127.0.0.1:{unused_tcp_port}", "store_timeout_seconds": 0.5}
    )
    async with running_app(away, prepared=False) as api:
        response = await api.post("/api/upload", files={"file": FILE}, headers={"authorization": "Bearer dk_a_b"})
        assert response.status_code == 503
        assert response.json()["code"] == "store_unavailable"
        assert int(response.headers["retry-after"]) > 0
        assert "127.0.0.1" not in response.text
        ready = await api.get("/readyz")
        assert ready.status_code == 503
        checks = ready.json()["checks"]
        assert checks["mongodb"]["ok"] is False
        assert checks["redis"]["ok"] is checks["s3"]["ok"] is True
        assert "127.0.0.1" not in ready.text
        assert (await api.get("/healthz")).status_code == 200


@pytest.mark.parametrize(("store", "setting"), [("redis", "redis_url"), ("s3", "s3_endpoint_url")])
async def test_503_while_another_store_is_away(isolated: Settings, store: str, setting: str) -> None:
    there = httpx.URL(getattr(isolated, setting))
    assert there.port is not None
    with Proxy(there.port) as proxy:
        # Short, so that the silence is soon noticed. MongoDB has the same limit, also on a busy machine.
        behind = {setting: str(there.copy_with(port=proxy.port)), "store_timeout_seconds": 2}
        async with running_app(isolated.model_copy(update=behind)) as api:

            async def accepted(key: str | None = None) -> bool:
                return (await upload(api, key=key)).status_code == 202

            await wait_until_async(lambda: accepted("order-9"), "the upload is accepted")
            request_id = (await upload(api, key="order-9")).json()["requestId"]
            before = await api.stored()
            proxy.fault = Fault.SILENCE
            await asyncio.sleep(HEALTH_TTL_SECONDS)
            refused = await upload(api)
            assert refused.status_code == 503
            assert refused.json()["code"] == "store_unavailable"
            assert refused.json()["detail"].lower().startswith(f"{store} does not answer")
            assert int(refused.headers["retry-after"]) > 0
            assert await api.stored() == before
            repeat = await upload(api, key="order-9")
            assert repeat.status_code == 202, "what was accepted stays accepted"
            assert repeat.json()["requestId"] == request_id
            proxy.fault = None
            await wait_until_async(accepted, f"{store} answers again")


async def test_a_repeat_with_the_same_key_is_the_same_request(api: Api) -> None:
    first = (await upload(api, key="order-1")).json()
    before = await api.stored()
    again = await upload(api, key="order-1")
    assert again.status_code == 202
    assert again.json()["requestId"] == first["requestId"]
    assert await api.stored() == before


async def test_another_upload_with_the_same_key_is_a_conflict(api: Api) -> None:
    await upload(api, key="order-2")
    before = await api.stored()
    for response in (
        await upload(api, FILE + b"\n9,X,https://x.example/a.jpg", key="order-2"),
        await upload(api, key="order-2", priority="1"),
    ):
        assert response.status_code == 409
        assert response.json()["code"] == "idempotency_conflict"
    assert await api.stored() == before


async def test_equal_uploads_at_the_same_moment_are_one_request(api: Api) -> None:
    requests, products = await api.stored()
    responses = await asyncio.gather(*(upload(api, key="order-3") for _ in range(5)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["requestId"] for response in responses}) == 1
    assert await api.stored() == (requests + 1, products + 2)


async def test_another_key_sees_nothing(api: Api) -> None:
    request_id = (await upload(api)).json()["requestId"]
    other = await api.key(*Scope)
    for path in (
        f"/api/status/{request_id}",
        f"/api/requests/{request_id}/results.csv",
        f"/api/requests/{request_id}/results.jsonl",
        f"/api/requests/{request_id}/deliveries",
    ):
        assert (await api.get(path)).status_code == 200, path
        refused = await api.get(path, headers=other)
        assert refused.status_code == 404
        assert refused.json()["code"] == "request_not_found"
    assert (await api.get("/api/requests", headers=other)).json()["requests"] == []


async def test_requests_and_products_come_in_pages(api: Api) -> None:
    headers = await api.key(*Scope)
    files = {"file": FILE}
    made = [(await api.post("/api/upload", files=files, headers=headers)).json()["requestId"] for _ in range(3)]
    first = (await api.get("/api/requests?limit=2", headers=headers)).json()
    second = (await api.get(f"/api/requests?limit=2&cursor={first['nextCursor']}", headers=headers)).json()
    listed = [request["requestId"] for page in (first, second) for request in page["requests"]]
    assert listed == made[::-1]
    assert second["nextCursor"] is None
    page = (await api.get(f"/api/status/{made[0]}?limit=1", headers=headers)).json()
    rest = (await api.get(f"/api/status/{made[0]}?limit=5&cursor={page['nextCursor']}", headers=headers)).json()
    assert [product["row"] for product in page["products"] + rest["products"]] == [2, 3]
    assert rest["nextCursor"] is None
    wrong = await api.get(f"/api/status/{made[0]}?cursor=x", headers=headers)
    assert wrong.json()["code"] == "invalid_cursor"
