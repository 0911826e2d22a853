"""Whether a store answers, asked before work is accepted that cannot be done without it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from cluster.aio import SingleFlight
from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FRESH_SECONDS = 1


class HealthCheck:
    """One store. What is known counts for a second, so that a flood of uploads does not become one of questions.

    Args:
        store: Its name in the error.
        ping: Returns when it answers; raises `StoreUnavailableError`.
        timeout_seconds: How long it may take to answer.
    """

    def __init__(self, store: str, ping: Callable[[], Awaitable[None]], *, timeout_seconds: float) -> None:
        self._store = store
        self._ping = ping
        self._timeout_seconds = timeout_seconds
        self._problem: str | None = None
        self._fresh_until = -math.inf
        self._ask_once = SingleFlight(self._ask)

    async def check(self) -> None:
        """Return when it answers, or did a moment ago.

        Raises:
            StoreUnavailableError: It does not.
        """
        if time.monotonic() > self._fresh_until:
            await self._ask_once()
        if self._problem is not None:
            raise StoreUnavailableError(self._store, self._problem)

    async def _ask(self) -> None:
        problem = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._ping()
        except TimeoutError:
            problem = f"no answer within {self._timeout_seconds:g} s"
        except StoreUnavailableError as error:
            problem = error.detail
        self._problem = problem
        self._fresh_until = time.monotonic() + FRESH_SECONDS
