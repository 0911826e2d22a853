"""The limits of the queue, on a real MongoDB and Redis."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import RefusedError
from cluster.identifiers import new_identifier
from cluster.mongo.api_keys import key_id_of
from cluster.mongo.requests import RequestQueue, RequestStore
from cluster.records import Counts, FailureCount, ProcessingRequest, Status, utc_now
from cluster.redis.throughput import Throughput
from deployments.api.quota import Quota
from tests.support.app import running_app
from tests.support.catalogues import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from cluster.mongo.connection import Database
    from cluster.settings import Settings
    from tests.support.app import Api

LIMITS = {
    "max_queued_images": 100,
    "max_queued_images_per_key": 60,
    "max_queued_requests": 6,
    "max_queued_requests_per_key": 4,
}
FLOOD = 2_000
AT_ONCE = 40
MAX_GROWTH_BYTES = 16 * 1024 * 1024


class Waiting(NamedTuple):
    """A quota, and the requests that use it."""

    quota: Quota
    requests: RequestStore
    rate: Throughput

    async def add(self, owner: str, images: int, done: int = 0) -> None:
        now = utc_now()
        await self.requests.commit(
            ProcessingRequest(
                request_id=new_identifier("req"),
                owner=owner,
                created_at=now,
                queued_at=now,
                counts=Counts(images=images, completed=done),
                columns=[],
                url_column=0,
                fingerprint="0",
            )
        )

    async def refusal(self, owner: str, images: int = 1) -> tuple[int, str, int | None]:
        with pytest.raises(RefusedError) as error:
            await self.quota.check(owner, images)
        return error.value.status, error.value.code, error.value.retry_after_seconds


@pytest.fixture
async def waiting(database: Database, isolated: Settings) -> AsyncIterator[Waiting]:
    settings = isolated.model_copy(update={**LIMITS, "ray_namespace": new_identifier("test")})
    rate = Throughput(settings)
    yield Waiting(Quota(RequestQueue(database), rate, settings), RequestStore(database), rate)
    await rate.close()


async def test_a_key_that_has_too_many_images_waits_and_others_do_not(waiting: Waiting) -> None:
    await waiting.add("greedy", 60, done=10)
    await waiting.quota.check("greedy", 10)
    assert await waiting.refusal("greedy", 11) == (429, "quota_exceeded", 60)
    await waiting.quota.check("modest", 50)


async def test_the_whole_queue_is_full(waiting: Waiting) -> None:
    await waiting.add("a", 50)
    await waiting.add("b", 45)
    assert await waiting.refusal("c", 6) == (503, "queue_full", 60)
    await waiting.quota.check("c", 5)


async def test_requests_are_counted_too(waiting: Waiting) -> None:
    for _ in range(4):
        await waiting.add("a", 1)
    assert (await waiting.refusal("a"))[:2] == (429, "quota_exceeded")
    for _ in range(2):
        await waiting.add("b", 1)
    assert (await waiting.refusal("b"))[:2] == (503, "queue_full")


async def test_a_catalogue_that_can_never_fit_is_told_so(waiting: Waiting) -> None:
    assert await waiting.refusal("a", 61) == (413, "too_many_images", None)


async def test_when_to_come_back_follows_the_pace_of_the_queue(waiting: Waiting) -> None:
    await waiting.add("a", 60)
    await waiting.rate.write(2.5)
    assert (await waiting.refusal("a", 40))[2] == 16
    await waiting.rate.write(1000)
    assert (await waiting.refusal("a", 40))[2] == 2
    await waiting.rate.write(0.001)
    assert (await waiting.refusal("a", 40))[2] == 3600


async def test_an_upload_that_is_being_stored_uses_the_quota(waiting: Waiting) -> None:
    with waiting.quota.storing("a", 60):
        assert (await waiting.refusal("a"))[0] == 429
    await waiting.quota.check("a", 60)


async def flooded(api: Api, count: int) -> Counter[int]:
    """Upload so many catalogues, some at once. Return how often each status was answered."""
    file, turns = catalogue(["https://shop.invalid/a.jpg"]), asyncio.Semaphore(AT_ONCE)
    statuses: Counter[int] = Counter()

    async def upload() -> None:
        async with turns:
            response: httpx.Response = await api.post("/api/upload", files={"file": ("a.csv", file)})
        statuses[response.status_code] += 1
        if response.status_code != 202:
            assert int(response.headers["retry-after"]) > 0
            assert response.json()["code"] in {"quota_exceeded", "queue_full", "too_many_uploads"}

    await asyncio.gather(*(upload() for _ in range(count)))
    return statuses


async def test_a_retry_needs_quota_as_an_upload_does(isolated: Settings) -> None:
    settings = isolated.model_copy(update={**LIMITS, "mongo_database": new_identifier("retry")})
    async with running_app(settings) as api:
        owner, now = key_id_of(api.headers["authorization"].removeprefix("Bearer ")), utc_now()
        failure = FailureCount(code=ImageErrorCode.TIMEOUT, count=10, sample_url="https://shop.example/a.jpg")
        common = {"owner": owner, "created_at": now, "queued_at": now, "columns": [], "url_column": 0}
        ended = ProcessingRequest(
            request_id=new_identifier("req"),
            status=Status.COMPLETED,
            completed_at=now,
            counts=Counts(images=30, completed=20, failed=10),
            failures=[failure],
            fingerprint="0",
            **common,
        )
        full = ProcessingRequest(request_id=new_identifier("req"), counts=Counts(images=55), fingerprint="1", **common)
        for request in (ended, full):
            await api.services.requests.commit(request)
        answer = await api.post(f"/api/requests/{ended.request_id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
        assert int(answer.headers["retry-after"]) > 0
        left = await api.services.requests.get(ended.request_id)
        assert left is not None
        assert left.status is Status.COMPLETED


@pytest.mark.timeout(150)
async def test_a_flood_is_answered_and_keeps_memory_flat(isolated: Settings) -> None:
    # Paced by nobody: no image can be fetched, so that the queue drains by retries alone.
    settings = isolated.model_copy(update={**LIMITS, "mongo_database": new_identifier("flood")})
    async with running_app(settings) as api:
        await flooded(api, FLOOD // 10)
        before = psutil.Process(os.getpid()).memory_info().rss
        statuses = await flooded(api, FLOOD)
        grown = psutil.Process(os.getpid()).memory_info().rss - before
        stored, _ = await api.stored()
    assert statuses.total() == FLOOD
    assert set(statuses) <= {202, 429, 503}
    assert statuses[429] + statuses[503] > FLOOD / 2
    assert stored <= FLOOD / 2 + FLOOD // 10
    assert grown < MAX_GROWTH_BYTES
