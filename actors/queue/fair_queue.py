"""Who is admitted next, and whose turn is over: pure rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from cluster.mongo.requests import Candidate, OpenRequest

MAX_PRIORITY = 9
AGEING_SECONDS = 600
"""A request that has waited this long counts as one priority higher; after 90 minutes nobody is ahead by priority."""

TURN_SECONDS = 300
"""For so long a request is at work before it gives way to another one like it."""
MIN_TURN_SECONDS = 10
"""For so long a small one gives way to nobody, and a large one for longer: to begin again costs time by its size."""
_TURN_IMAGES_PER_SECOND = 5_000


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


def choose_preempted(
    candidate: Candidate, at_work: Collection[OpenRequest], seconds_at_work: Mapping[str, float], now: datetime
) -> OpenRequest | None:
    """Who of those that have all places is to wait again, so that the next in line need not wait until one has ended.

    One of lower priority than the candidate's, aged; or one of the same whose owner would still have as many at work
    as the candidate's, or that has had its turn. Of several, the lowest priority, then the owner with the most, then
    the longest at work. For the time of its turn, a request keeps the priority to which it has aged.

    Args:
        candidate: The next in line.
        at_work: Those that have the places.
        seconds_at_work: Of those whose work has begun; the others are not asked.
        now: The time.
    """
    running = Counter(request.owner for request in at_work)
    wanted = _aged_priority(candidate.priority, candidate.queued_at, now)

    def priority(request: OpenRequest) -> int:
        if seconds_at_work[request.request_id] >= TURN_SECONDS:
            return request.priority
        return _aged_priority(request.priority, request.queued_at, request.admitted_at)

    def gives_way(request: OpenRequest) -> bool:
        seconds = seconds_at_work.get(request.request_id, 0)
        if seconds < _min_turn_seconds(request) or priority(request) > wanted:
            return False
        is_fairer = running[request.owner] - running[candidate.owner] > 1
        return priority(request) < wanted or is_fairer or seconds >= TURN_SECONDS

    def place(request: OpenRequest) -> tuple[int, int, float]:
        return priority(request), -running[request.owner], -seconds_at_work[request.request_id]

    return min(filter(gives_way, at_work), key=place, default=None)


def _min_turn_seconds(request: OpenRequest) -> float:
    return MIN_TURN_SECONDS + request.images / _TURN_IMAGES_PER_SECOND


def _aged_priority(priority: int, since: datetime, until: datetime) -> int:
    waited_seconds = max(0, (until - since).total_seconds())
    return min(MAX_PRIORITY, priority + int(waited_seconds // AGEING_SECONDS))
