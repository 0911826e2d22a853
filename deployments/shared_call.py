"""A call that may take long, and is made once at a time for all who wait for it."""

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


def _take_note(task: asyncio.Task[Any]) -> None:
    """Nobody may be left to hear of the error."""
    if not task.cancelled():
        task.exception()
