"""Questions to the head node, which may be away: whoever asks must not wait for it, and each call keeps a thread."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

Answer = TypeVar("Answer")
logger = logging.getLogger("darkroom.question")


class Question(Generic[Answer]):
    """One question, asked once at a time.

    Args:
        ask: Asks.
        wait_seconds: How long an asker waits.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Answer]], wait_seconds: float) -> None:
        self._ask = ask
        self._wait_seconds = wait_seconds
        self._asking: asyncio.Task[Answer] | None = None
        self._now = asyncio.get_running_loop().time
        self._answered_at = self._now()

    @property
    def unanswered_seconds(self) -> float:
        """Since the last answer."""
        return self._now() - self._answered_at

    async def answer(self) -> Answer | None:
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
