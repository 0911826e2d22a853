"""The health check of a store, before work is accepted that needs it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from cluster.aio import SingleFlight
from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEALTH_TTL_SECONDS = 1


class HealthCheck:
    """The health check of one store. An answer counts for a second, so that many uploads cost one ping.

    Args:
        store: The name of the store in the error.
        ping: Returns when the store answers. Raises `StoreUnavailableError` when it refuses.
        timeout_seconds: The time that the store may take to answer.
    """

    def __init__(self, store: str, ping: Callable[[], Awaitable[None]], *, timeout_seconds: float) -> None:
        self._store = store
        self._ping = ping
        self._timeout_seconds = timeout_seconds
        self._problem: str | None = None
        self._fresh_until = -math.inf
        self._ask_once = SingleFlight(self._ask)

    async def check(self) -> None:
        """Return when the store answers, or has answered within the last second.

        Raises:
            StoreUnavailableError: The store does not answer.
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
        self._fresh_until = time.monotonic() + HEALTH_TTL_SECONDS
