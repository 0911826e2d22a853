"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.05


def wait_until(predicate: Callable[[], bool], description: str, *, timeout_seconds: float = 20) -> None:
    """Return when the predicate holds. Fail with the description when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() > deadline:
            message = f"not within {timeout_seconds} s: {description}"
            raise AssertionError(message)
        time.sleep(POLL_SECONDS)


async def wait_until_async(
    predicate: Callable[[], Awaitable[bool]],
    description: str,
    *,
    timeout_seconds: float = 20,
) -> None:
    """Do the same for a predicate that must be awaited."""
    deadline = time.monotonic() + timeout_seconds
    while not await predicate():
        if time.monotonic() > deadline:
            message = f"not within {timeout_seconds} s: {description}"
            raise AssertionError(message)
        await asyncio.sleep(POLL_SECONDS)
