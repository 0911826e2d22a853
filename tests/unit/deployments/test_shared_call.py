"""A call that is made once for all who wait."""

from __future__ import annotations

import asyncio

import pytest

from deployments.shared_call import SharedCall, SharedCalls


async def test_all_who_wait_share_one_call_and_its_error() -> None:
    calls, outcome = 0, asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        await outcome.wait()
        raise ValueError

    shared = SharedCall(call)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shared(), 0.01)
    others = [asyncio.create_task(shared()) for _ in range(3)]
    await asyncio.wait(others, timeout=0.01)
    outcome.set()
    assert [type(each) for each in await asyncio.gather(*others, return_exceptions=True)] == [ValueError] * 3
    assert calls == 1
    with pytest.raises(ValueError):  # noqa: PT011 - it is the one above
        await shared()
    assert calls == 2


async def test_calls_for_different_keys_are_made_beside_each_other() -> None:
    calls: list[str] = []
    go_on = asyncio.Event()

    async def call(key: str) -> str:
        calls.append(key)
        await go_on.wait()
        return key.upper()

    shared = SharedCalls(call)
    waiting = [asyncio.create_task(shared(key)) for key in ("a", "b", "a")]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shared("b"), 0.01)  # who leaves does not take the call from the others
    go_on.set()
    assert await asyncio.gather(*waiting) == ["A", "B", "A"]
    assert calls == ["a", "b"]
    assert await shared("a") == "A"
    assert calls == ["a", "b", "a"]
