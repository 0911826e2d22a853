"""The rules by which a failed call is tried again. A wait inside one call is stamina's work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, TypeVar

import stamina

from cluster.errors import StaleEpochError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterator

T = TypeVar("T")
_MAX_DOUBLINGS = 30
logger = logging.getLogger("darkroom.retry")


def backoff_seconds(attempt: int, *, base_seconds: float, cap_seconds: float) -> float:
    """Return the pause after a failed attempt: exponential backoff with full jitter.

    It is uniform between 0 and `base * 2 ** (attempt - 1)`, at most the cap.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        attempt: The number of the attempt that has failed, from 1.
        base_seconds: The longest pause after the first one.
        cap_seconds: The longest pause of all.
    """
    ceiling = min(cap_seconds, base_seconds * 2 ** min(attempt - 1, _MAX_DOUBLINGS))
    return random.uniform(0, ceiling)  # noqa: S311 - jitter needs no secrecy


def jittered(seconds: float, part: float) -> float:
    """Return a pause that differs from the given one by at most this part of it, up or down."""
    return seconds * random.uniform(1 - part, 1 + part)  # noqa: S311 - jitter needs no secrecy


def while_store_away(timeout_seconds: float) -> AsyncIterable[stamina.Attempt]:
    """Return attempts at one write while a store is away, for that long.

    A wait is worth it where all the work before the write would be done again.
    """
    return stamina.retry_context(on=StoreUnavailableError, attempts=None, timeout=timeout_seconds)


def until_it_succeeds() -> AsyncIterable[stamina.Attempt]:
    """Return attempts without end at a block, with a pause after each failure."""
    return stamina.retry_context(on=Exception, attempts=None, timeout=None)


async def until_done(
    call: Callable[[], Awaitable[T]],
    *,
    base_seconds: float,
    cap_seconds: float,
    name: str,
    request_id: str | None = None,
) -> T:
    """Call until it succeeds, with a backoff after each failure.

    Args:
        call: The call.
        base_seconds: The longest pause after the first failure.
        cap_seconds: The longest pause of all.
        name: The name of the call in the log.
        request_id: The request that it works for, for the log.

    Raises:
        StaleEpochError: The call raised it: a newer process has taken over.
    """
    attempt = 0
    while True:
        with failures_logged(name, then="it starts over", request_id=request_id):
            return await call()
        attempt += 1
        await asyncio.sleep(backoff_seconds(attempt, base_seconds=base_seconds, cap_seconds=cap_seconds))


@contextlib.contextmanager
def failures_logged(name: str, *, then: str, request_id: str | None = None) -> Iterator[None]:
    """Log a failure of the block instead of raising it. The caller tries again.

    A store that does not answer is expected, so it is a warning.

    Args:
        name: The name of the block in the log.
        then: The end of the log's sentence: how the caller tries again.
        request_id: The request that the block works for, for the log.

    Raises:
        StaleEpochError: The block raised it: a newer process has taken over, so another try is of no use.
    """
    extra = {} if request_id is None else {"requestId": request_id}
    try:
        yield
    except StaleEpochError:
        raise
    except StoreUnavailableError as error:
        logger.warning("%s waits: %s", name, error, extra=extra)
    except Exception:
        logger.exception("%s failed, and %s", name, then, extra=extra)
