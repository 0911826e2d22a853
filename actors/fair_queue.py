"""Who is admitted next, and whose turn is over: pure rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from cluster.mongo.queue import Candidate, OpenRequest

MAX_PRIORITY = 9
AGEING_SECONDS = 600
"""A request that has waited this long counts as one priority higher; after 90 minutes nobody is ahead by priority."""

TURN_SECONDS = 300
"""For so long a request is at work before it gives way to another one like it."""
MIN_TURN_SECONDS = 10
"""For so long it gives way to nobody: to begin again costs about a second."""


def next_in_line(candidates: Iterable[Candidate], at_work: Mapping[str, int], now: datetime) -> Candidate | None:
    """The highest priority first, aged; of these, the owner with the fewest requests at work; of these, the oldest.

    Args:
        candidates: Of each owner and priority, the oldest one is enough.
        at_work: How many requests of each owner are at work.
        now: The time.
    """

    def place(candidate: Candidate) -> tuple[int, int, datetime]:
        return (
            -_aged_priority(candidate.priority, candidate.queued_at, now),
            at_work.get(candidate.owner, 0),
            candidate.queued_at,
        )

    return min(candidates, key=place, default=None)


def who_gives_way(candidate: Candidate, at_work: Collection[OpenRequest], now: datetime) -> OpenRequest | None:
    """Who of those that have all places is to wait again, so that the next in line need not wait until one has ended.

    One of lower priority than the candidate's, aged; or one of the same whose owner would still have as many at work
    as the candidate's, or that has had its turn. Of several, the lowest priority, then the owner with the most, then
    the longest at work. For the time of its turn, a request keeps the priority to which it has aged.
    """
    running = Counter(request.owner for request in at_work)
    wanted = _aged_priority(candidate.priority, candidate.queued_at, now)

    def priority(request: OpenRequest) -> int:
        if _seconds(request.admitted_at, now) >= TURN_SECONDS:
            return request.priority
        return _aged_priority(request.priority, request.queued_at, request.admitted_at)

    def gives_way(request: OpenRequest) -> bool:
        seconds = _seconds(request.admitted_at, now)
        if seconds < MIN_TURN_SECONDS or priority(request) > wanted:
            return False
        is_fairer = running[request.owner] - running[candidate.owner] > 1
        return priority(request) < wanted or is_fairer or seconds >= TURN_SECONDS

    def place(request: OpenRequest) -> tuple[int, int, datetime]:
        return priority(request), -running[request.owner], request.admitted_at

    return min(filter(gives_way, at_work), key=place, default=None)


def _aged_priority(priority: int, since: datetime, until: datetime) -> int:
    return min(MAX_PRIORITY, priority + max(0, int(_seconds(since, until) // AGEING_SECONDS)))


def _seconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds()
