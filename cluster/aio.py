"""Tasks of asyncio: beside others, ended for certain, and shared by several callers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
_AGAIN_SECONDS = 0.2
logger = logging.getLogger("darkroom.aio")


class Background:
    """Keeps its tasks until they have ended, since the event loop alone would let them be collected before that."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin a piece of work; its errors are its own to handle."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended; their errors are their own to handle.

    Once is not enough: redis-py waits by `asyncio.wait_for`, which on Python 3.11 loses a cancel that comes together
    with the answer, and what looks for ever would go on for ever.
    """
    left = {*tasks}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


class SharedCall(Generic[T]):
    """Who gives up waiting leaves the call to the others; a thread that cannot be stopped is then not started twice.

    Args:
        call: What is called; its errors go to all who wait.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The outcome of the call that runs, or of a new one."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._call())
            self._running.add_done_callback(_take_note)
        return await asyncio.shield(self._running)


class FreshCalls(Generic[T]):
    """Calls by key of which each outcome is of the time after the question: who asks while one runs waits for the next.

    Args:
        call: What is called, with the key; its errors go to all who wait. Different keys are called beside each other.
    """

    def __init__(self, call: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, asyncio.Task[T]] = {}

    async def __call__(self, key: str) -> T:
        """The outcome of the next call for this key, which begins when the one that runs has ended."""
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._run(key, self._running.get(key)))
            self._next[key].add_done_callback(_take_note)
        return await asyncio.shield(self._next[key])

    async def _run(self, key: str, earlier: asyncio.Task[T] | None) -> T:
        if earlier is not None:
            await asyncio.wait([earlier])
        this = self._running[key] = self._next.pop(key)
        try:
            return await self._call(key)
        finally:
            if self._running[key] is this:
                del self._running[key]


def _take_note(task: asyncio.Task[Any]) -> None:
    """Nobody may be left to hear of the error."""
    if not task.cancelled():
        task.exception()


class Question(Generic[T]):
    """One question, asked once at a time.

    Args:
        ask: Asks.
        wait_seconds: How long an asker waits.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], wait_seconds: float) -> None:
        self._ask = ask
        self._wait_seconds = wait_seconds
        self._asking: asyncio.Task[T] | None = None
        self._now = asyncio.get_running_loop().time
        self._answered_at = self._now()

    @property
    def unanswered_seconds(self) -> float:
        """Since the last answer."""
        return self._now() - self._answered_at

    async def answer(self) -> T | None:
        """The answer; None when it is an error, or does not come in time: then it is the next asker's."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        await asyncio.wait([asking], timeout=self._wait_seconds)
        if not asking.done():
            return None
        self._asking = None
        if (error := asking.exception()) is not None:
            logger.warning("the head did not say: %s", error)
            return None
        self._answered_at = self._now()
        return asking.result()
