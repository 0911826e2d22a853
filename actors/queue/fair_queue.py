"""The order in which requests are admitted and preempted: pure rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from cluster.mongo.requests import Candidate, OpenRequest

MAX_PRIORITY = 9
AGEING_SECONDS = 600
"""A request that has waited this long counts as one priority higher. After 90 minutes it has the highest one."""

TURN_SECONDS = 300
"""The time at work after which a request may be preempted by another one like it."""
MIN_TURN_SECONDS = 10
"""The time at work before which no request is preempted. It is longer for a large one, which is slow to begin."""
_TURN_IMAGES_PER_SECOND = 5_000


def next_in_line(candidates: Iterable[Candidate], at_work: Mapping[str, int], now: datetime) -> Candidate | None:
    """Return the request to admit next.

    The highest aged priority is first. Of one priority, the owner with the fewest requests at work is first. Of one
    owner, the oldest request is first.

    Args:
        candidates: The waiting requests. The oldest one of each owner and priority is enough.
        at_work: The number of requests at work, by owner.
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
    """Return the request to preempt when all places are taken and the next one should not wait for an end.

    It has a lower priority than the candidate's aged one. Or it has the same, and its owner would still have as many
    requests at work as the candidate's, or its turn is over. Of several, the one with the lowest priority is preempted,
    then that of the owner with the most, then the one longest at work. During its turn, a request keeps the priority
    to which it has aged.

    Args:
        candidate: The next request.
        at_work: The requests that have the places.
        seconds_at_work: The time at work of the requests whose work has begun. The others are not preempted.
        now: The time.
    """
    running = Counter(request.owner for request in at_work)
    wanted = _aged_priority(candidate.priority, candidate.queued_at, now)

    def priority(request: OpenRequest) -> int:
        if seconds_at_work[request.request_id] >= TURN_SECONDS:
            return request.priority
        return _aged_priority(request.priority, request.queued_at, request.admitted_at)

    def is_preemptible(request: OpenRequest) -> bool:
        seconds = seconds_at_work.get(request.request_id, 0)
        if seconds < _min_turn_seconds(request) or priority(request) > wanted:
            return False
        is_fairer = running[request.owner] - running[candidate.owner] > 1
        return priority(request) < wanted or is_fairer or seconds >= TURN_SECONDS

    def place(request: OpenRequest) -> tuple[int, int, float]:
        return priority(request), -running[request.owner], -seconds_at_work[request.request_id]

    return min(filter(is_preemptible, at_work), key=place, default=None)


def _min_turn_seconds(request: OpenRequest) -> float:
    return MIN_TURN_SECONDS + request.images / _TURN_IMAGES_PER_SECOND


def _aged_priority(priority: int, since: datetime, until: datetime) -> int:
    waited_seconds = max(0, (until - since).total_seconds())
    return min(MAX_PRIORITY, priority + int(waited_seconds // AGEING_SECONDS))
