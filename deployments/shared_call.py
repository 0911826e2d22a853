"""Calls that may take long, and are made once at a time for all who wait for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


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
