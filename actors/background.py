"""Work that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_AGAIN_SECONDS = 0.2


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
