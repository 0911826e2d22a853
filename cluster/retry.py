"""How long to wait before another attempt."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 30


def backoff_seconds(attempt: int, *, base_seconds: float, cap_seconds: float) -> float:
    """Exponential backoff with full jitter: uniform between 0 and `base * 2 ** (attempt - 1)`, at most the cap.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(cap_seconds, base_seconds * 2 ** min(attempt - 1, _MAX_DOUBLINGS))
    return random.uniform(0, ceiling)  # noqa: S311 - jitter needs no secrecy
