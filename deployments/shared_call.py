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

    @property
    def is_running(self) -> bool:
        """Whether the call is being made."""
        return self._running is not None and not self._running.done()

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


class SharedCalls(Generic[T]):
    """The same by key: calls for different keys are made beside each other.

    Args:
        call: What is called, with the key.
    """

    def __init__(self, call: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._shared: dict[str, SharedCall[T]] = {}  # those that somebody waits for

    async def __call__(self, key: str) -> T:
        """The outcome of the call that runs for this key, or of a new one."""
        shared = self._shared.setdefault(key, SharedCall(functools.partial(self._call, key)))
        try:
            return await shared()
        finally:
            if not shared.is_running and self._shared.get(key) is shared:
                del self._shared[key]
