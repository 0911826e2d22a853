"""A call that may take long, and is made once at a time for all who wait for it."""

from __future__ import annotations

import asyncio
import functools
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


class SharedCalls(Generic[T]):
    """The same by key: calls for different keys are made beside each other.

    Args:
        call: What is called, with the key.
    """

    def __init__(self, call: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: dict[str, asyncio.Task[T]] = {}

    async def __call__(self, key: str) -> T:
        """The outcome of the call that runs for this key, or of a new one."""
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._call(key))
            self._running[key].add_done_callback(functools.partial(self._ended, key))
        return await asyncio.shield(self._running[key])

    def _ended(self, key: str, task: asyncio.Task[T]) -> None:
        del self._running[key]
        _take_note(task)


def _take_note(task: asyncio.Task[Any]) -> None:
    """Nobody may be left to hear of the error."""
    if not task.cancelled():
        task.exception()
