"""Who is admitted next: pure rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from cluster.mongo.queue import Candidate

MAX_PRIORITY = 9
AGEING_SECONDS = 600
"""A request that has waited this long counts as one priority higher; after 90 minutes nobody is ahead by priority."""


def next_in_line(candidates: Iterable[Candidate], at_work: Mapping[str, int], now: datetime) -> Candidate | None:
    """The highest priority first, aged; of these, the owner with the fewest requests at work; of these, the oldest.

    Args:
        candidates: Of each owner and priority, the oldest one is enough.
        at_work: How many requests of each owner are at work.
        now: The time.
    """

    def place(candidate: Candidate) -> tuple[int, int, datetime]:
        waited_seconds = (now - candidate.queued_at).total_seconds()
        priority = min(MAX_PRIORITY, candidate.priority + int(waited_seconds // AGEING_SECONDS))
        return -priority, at_work.get(candidate.owner, 0), candidate.queued_at

    return min(candidates, key=place, default=None)
