"""Tasks of asyncio: ended for certain, and shared by several callers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from cluster.aio import FreshCalls, Question, SingleFlight, end, wait_until_set


async def test_a_task_that_loses_a_cancel_is_ended_all_the_same() -> None:
    cancels = 0

    async def deaf() -> None:
        nonlocal cancels
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            cancels += 1
            if cancels == 2:
                raise ValueError

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(60)), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    await end(*tasks)
    assert all(task.done() for task in tasks)
    assert cancels == 2


async def test_a_wait_for_an_event_ends_with_its_time() -> None:
    event = asyncio.Event()
    await wait_until_set(event, 0.01)
    assert not event.is_set()
    event.set()
    async with asyncio.timeout(10):
        await wait_until_set(event, 60)
    assert event.is_set()


async def test_all_callers_share_one_call_and_its_error() -> None:
    calls, outcome = 0, asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        await outcome.wait()
        raise ValueError

    shared = SingleFlight(call)
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


async def settle() -> None:
    """Let all that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_outcome_is_of_the_time_after_the_question() -> None:
    begun: list[str] = []
    go_on = asyncio.Semaphore(0)

    async def call(key: str) -> int:
        begun.append(key)
        number = len(begun)
        await go_on.acquire()
        return number

    fresh = FreshCalls(call)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fresh("a"), 0.01)  # the timeout of a caller does not end the call
    others = [asyncio.create_task(fresh("a")) for _ in range(3)]
    await settle()
    assert begun == ["a"]
    go_on.release()
    await settle()
    assert begun == ["a", "a"]
    later = asyncio.create_task(fresh("a"))
    go_on.release()
    assert await asyncio.gather(*others) == [2, 2, 2]
    go_on.release()
    assert await later == 3


async def test_calls_for_different_keys_are_made_beside_each_other_and_fail_alone() -> None:
    go_on = asyncio.Event()

    async def call(key: str) -> str:
        await go_on.wait()
        if key == "b":
            raise ValueError
        return key

    fresh = FreshCalls(call)
    waiting = [asyncio.create_task(fresh(key)) for key in ("a", "b", "a")]
    await settle()
    after = [asyncio.create_task(fresh(key)) for key in ("b", "a")]
    go_on.set()
    found = await asyncio.gather(*waiting, *after, return_exceptions=True)
    assert [type(each) for each in found] == [str, ValueError, str, ValueError, str]


class Head:
    """It answers with how often it was asked, when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_there = asyncio.Event()
        self.is_healthy = True

    async def ask(self) -> int:
        self.asked += 1
        await self.is_there.wait()
        if not self.is_healthy:
            raise ConnectionError
        return self.asked


async def test_it_is_asked_once_at_a_time() -> None:
    head = Head()
    question = Question(head.ask, 0.01)
    assert [await question.answer() for _ in range(3)] == [None, None, None]
    assert head.asked == 1
    head.is_there.set()
    answers = [await question.answer() for _ in range(3)]
    assert answers == [1, 2, 3]


async def test_an_answer_that_comes_late_is_the_next_askers() -> None:
    head = Head()
    question = Question(head.ask, 0.01)
    assert await question.answer() is None
    head.is_there.set()
    await asyncio.sleep(0.05)
    waited_seconds = question.unanswered_seconds
    assert await question.answer() == head.asked == 1
    assert question.unanswered_seconds < waited_seconds


async def test_after_an_error_it_is_asked_again() -> None:
    head = Head()
    head.is_there.set()
    head.is_healthy = False
    question = Question(head.ask, 1)
    assert await question.answer() is None
    head.is_healthy = True
    assert await question.answer() == 2
