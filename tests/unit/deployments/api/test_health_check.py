"""The health check of a store: one probe answers all questions of a second."""

from __future__ import annotations

import asyncio

from cluster.errors import StoreUnavailableError
from deployments.api.health_check import HEALTH_TTL_SECONDS, HealthCheck


async def problems(store: HealthCheck) -> list[str]:
    """Return the answers to three questions at once, and to one a moment later."""
    told = [
        *await asyncio.gather(*(store.check() for _ in range(3)), return_exceptions=True),
        *await asyncio.gather(store.check(), return_exceptions=True),
    ]
    assert {type(each) for each in told} <= {StoreUnavailableError, type(None)}
    return [str(each) for each in told if each is not None]


async def test_an_answer_counts_for_a_moment() -> None:
    asked, answers = 0, asyncio.Event()

    async def ping() -> None:
        nonlocal asked
        asked += 1
        await answers.wait()

    store = HealthCheck("redis", ping, timeout_seconds=0.01)
    assert await problems(store) == ["redis does not answer: no answer within 0.01 s"] * 4
    assert asked == 1
    answers.set()
    await asyncio.sleep(HEALTH_TTL_SECONDS)
    assert await problems(store) == []
    assert asked == 2
