"""How long the client waits, and through what."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from cluster.errors import ApiError


UNCODED_NOT_FOUND = "http_404"


class Deadline:
    """A moment that no sleep goes past.

    Args:
        seconds: How far away it is; None is never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def sleep(self, seconds: float) -> bool:
        """Sleep, at most until the deadline; False when it had already come."""
        left_seconds = seconds if self._end is None else self._end - time.monotonic()
        if left_seconds <= 0:
            return False
        time.sleep(min(seconds, left_seconds))
        return True


def passes(error: ApiError) -> bool:
    """Whether the error is of the kind that goes away by itself: no answer, overload, a restart.

    While the service starts or stops, Ray Serve answers for it: 404 without a code, which no answer of ours is.
    """
    unanswered = error.status == 0 or error.code == UNCODED_NOT_FOUND
    return unanswered or error.status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(error.status)
