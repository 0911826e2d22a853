"""One key has at most half of the places for uploads, at work and in all."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from cluster.errors import RefusedError
from deployments.api.upload_places import (
    MAX_UPLOADS_AT_WORK,
    MAX_UPLOADS_AT_WORK_PER_KEY,
    MAX_UPLOADS_PER_KEY,
    UploadPlaces,
)

SERVE = Path(__file__).parents[4] / "cluster" / "serve.yaml"


async def test_a_key_that_has_all_its_places_is_refused_and_others_are_not() -> None:
    places = UploadPlaces()
    with ExitStack() as stack:
        for _ in range(MAX_UPLOADS_PER_KEY):
            stack.enter_context(places.one("greedy"))
        with pytest.raises(RefusedError) as refused, places.one("greedy"):
            pass
        assert (refused.value.status, refused.value.code) == (429, "too_many_uploads")
        assert refused.value.retry_after_seconds
        with places.one("modest"):
            pass
    with places.one("greedy"):
        pass


async def test_a_key_whose_uploads_are_all_at_work_leaves_places_at_work() -> None:
    places, end, working = UploadPlaces(), asyncio.Event(), 0

    async def store(owner: str) -> None:
        nonlocal working
        with places.one(owner) as place:
            async with place.at_work():
                working += 1
                await end.wait()

    greedy = [asyncio.create_task(store("greedy")) for _ in range(MAX_UPLOADS_PER_KEY)]
    await asyncio.wait(greedy, timeout=0.05)
    assert working == MAX_UPLOADS_AT_WORK_PER_KEY
    modest = asyncio.create_task(store("modest"))
    await asyncio.wait([modest], timeout=0.05)
    assert working == MAX_UPLOADS_AT_WORK_PER_KEY + 1
    end.set()
    await asyncio.gather(modest, *greedy)
    assert working == MAX_UPLOADS_PER_KEY + 1


def test_one_key_leaves_half_of_a_replica() -> None:
    applications = yaml.safe_load(SERVE.read_text())["applications"]
    (upload,) = [each for app in applications for each in app["deployments"] if each["name"] == "Upload"]
    assert upload["max_ongoing_requests"] == 2 * MAX_UPLOADS_PER_KEY
    assert MAX_UPLOADS_AT_WORK == 2 * MAX_UPLOADS_AT_WORK_PER_KEY
