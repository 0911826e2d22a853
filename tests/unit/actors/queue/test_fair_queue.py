"""The order in which requests are admitted and preempted."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from actors.queue.fair_queue import (
    AGEING_SECONDS,
    MAX_PRIORITY,
    MIN_TURN_SECONDS,
    TURN_SECONDS,
    choose_preempted,
    next_in_line,
)
from cluster.mongo.requests import Candidate, OpenRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def waiting(name: str, *, owner: str = "a", priority: int = 5, seconds: float = 1) -> Candidate:
    return Candidate(name, owner, priority, NOW - timedelta(seconds=seconds))


def chosen(*candidates: Candidate, **at_work: int) -> str | None:
    found = next_in_line(candidates, at_work, NOW)
    return found and found.request_id


def test_nobody_waits() -> None:
    assert chosen() is None


def test_the_highest_priority_is_first() -> None:
    assert chosen(waiting("old", seconds=500), waiting("urgent", priority=6)) == "urgent"


def test_the_priority_comes_before_fairness() -> None:
    assert chosen(waiting("busy", priority=9), waiting("new", owner="b"), a=7) == "busy"


def test_the_owner_with_the_fewest_at_work_is_first() -> None:
    assert chosen(waiting("old", seconds=500), waiting("other", owner="b"), a=2, b=1) == "other"
    assert chosen(waiting("old", seconds=500), waiting("other", owner="b"), a=1, b=1) == "old"


def test_the_oldest_is_first_then() -> None:
    assert chosen(waiting("young"), waiting("old", seconds=2)) == "old"


def test_the_priority_rises_with_the_wait() -> None:
    rival = waiting("rival", priority=6)
    assert chosen(waiting("waits", seconds=AGEING_SECONDS - 1), rival) == "rival"
    assert chosen(waiting("waits", seconds=AGEING_SECONDS), rival) == "waits"


def test_priority_0_is_never_starved() -> None:
    hours = MAX_PRIORITY * AGEING_SECONDS
    lowest = waiting("lowest", priority=0, seconds=hours)
    assert chosen(lowest, *(waiting(f"urgent {n}", priority=9, seconds=hours - 1) for n in range(3))) == "lowest"
    assert chosen(lowest, waiting("urgent", owner="b", priority=9, seconds=hours + 1), a=0, b=1) == "lowest"


def at_work(
    name: str, *, owner: str = "a", priority: int = 5, seconds: float = 60, waited_seconds: float = 0, images: int = 0
) -> OpenRequest:
    admitted_at = NOW - timedelta(seconds=seconds)
    queued_at = admitted_at - timedelta(seconds=waited_seconds)
    return OpenRequest(name, owner, priority, images, "coordinator", queued_at, admitted_at, frees_place=False)


def seconds_at_work(requests: Iterable[OpenRequest], now: datetime) -> dict[str, float]:
    return {each.request_id: (now - each.admitted_at).total_seconds() for each in requests}


def preempted_by(candidate: Candidate, *others: OpenRequest) -> str | None:
    found = choose_preempted(candidate, others, seconds_at_work(others, NOW), NOW)
    return found and found.request_id


def test_a_request_whose_work_has_not_begun_is_not_preempted() -> None:
    assert (
        choose_preempted(waiting("urgent", priority=9), [at_work("beginning", seconds=TURN_SECONDS)], {}, NOW) is None
    )


def test_a_large_request_is_preempted_later() -> None:
    urgent = waiting("urgent", priority=9)
    assert preempted_by(urgent, at_work("large", images=1_000_000, seconds=200)) is None
    assert preempted_by(urgent, at_work("large", images=1_000_000, seconds=210)) == "large"


def test_the_lowest_priority_is_preempted_by_a_higher_one() -> None:
    assert preempted_by(waiting("urgent", priority=6), at_work("five"), at_work("four", priority=4)) == "four"
    assert preempted_by(waiting("urgent", priority=6), at_work("six", priority=6), at_work("nine", priority=9)) is None


def test_a_request_that_has_just_begun_is_not_preempted() -> None:
    urgent = waiting("urgent", priority=9)
    assert preempted_by(urgent, at_work("young", seconds=MIN_TURN_SECONDS - 1)) is None
    assert preempted_by(urgent, at_work("young", seconds=MIN_TURN_SECONDS)) == "young"


def test_an_owner_with_more_at_work_is_preempted_by_another() -> None:
    mine = [at_work("old", seconds=90), at_work("young")]
    assert preempted_by(waiting("other", owner="b"), *mine) == "old"
    assert preempted_by(waiting("other", owner="b"), *mine, at_work("its own", owner="b")) is None
    assert preempted_by(waiting("mine"), *mine) is None


def test_after_its_turn_a_request_is_preempted_by_its_equals() -> None:
    assert preempted_by(waiting("next"), at_work("old", seconds=TURN_SECONDS), at_work("young")) == "old"
    assert preempted_by(waiting("next", priority=4), at_work("old", seconds=TURN_SECONDS)) is None


def test_an_aged_request_is_not_preempted_before_its_turn_is_over() -> None:
    hours = MAX_PRIORITY * AGEING_SECONDS
    aged = at_work("lowest", priority=0, waited_seconds=hours)
    assert preempted_by(waiting("urgent", priority=8), aged) is None
    assert preempted_by(
        waiting("urgent", priority=8), aged._replace(admitted_at=NOW - timedelta(seconds=TURN_SECONDS))
    ) == ("lowest")


def test_a_day_of_requests_without_end() -> None:
    """Four places, and twelve requests that never end: each is at work for a while, the more the higher it is."""
    step = timedelta(seconds=5)
    owners = itertools.cycle("aaabc")
    queue = {
        name: Candidate(name, next(owners), priority, NOW)
        for priority in (0, 5, 9)
        for name in (f"{priority} {number}" for number in range(4))
    }
    busy: dict[str, OpenRequest] = {}
    seconds: Counter[str] = Counter(dict.fromkeys(queue, 0))
    now = NOW
    while (now := now + step) < NOW + timedelta(days=1):
        while (best := next_in_line(queue.values(), Counter(each.owner for each in busy.values()), now)) is not None:
            if len(busy) < 4:
                name, owner, priority, queued_at = queue.pop(best.request_id)
                busy[name] = OpenRequest(name, owner, priority, 0, None, queued_at, now, frees_place=False)
            elif (gone := choose_preempted(best, busy.values(), seconds_at_work(busy.values(), now), now)) is not None:
                del busy[gone.request_id]
                queue[gone.request_id] = Candidate(gone.request_id, gone.owner, gone.priority, now)
            else:
                break
        seconds.update(dict.fromkeys(busy, int(step.total_seconds())))
    assert min(seconds.values()) > 10 * TURN_SECONDS
    of_priority = Counter[str]()
    for name in seconds:
        of_priority[name.split()[0]] += seconds[name]
    assert of_priority["9"] > of_priority["5"] > of_priority["0"]
