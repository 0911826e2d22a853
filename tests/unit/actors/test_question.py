"""What is asked of a head that may be away."""

from __future__ import annotations

import asyncio

from actors.question import Question


class Head:
    """It answers with how often it was asked, when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_there = asyncio.Event()
        self.is_well = True

    async def ask(self) -> int:
        self.asked += 1
        await self.is_there.wait()
        if not self.is_well:
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
    head.is_well = False
    question = Question(head.ask, 1)
    assert await question.answer() is None
    head.is_well = True
    assert await question.answer() == 2
