"""Who is admitted next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from actors.fair_queue import AGEING_SECONDS, MAX_PRIORITY, next_in_line
from cluster.mongo.queue import Candidate

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


def test_who_waits_rises() -> None:
    rival = waiting("rival", priority=6)
    assert chosen(waiting("waits", seconds=AGEING_SECONDS - 1), rival) == "rival"
    assert chosen(waiting("waits", seconds=AGEING_SECONDS), rival) == "waits"


def test_priority_0_is_never_starved() -> None:
    hours = MAX_PRIORITY * AGEING_SECONDS
    lowest = waiting("lowest", priority=0, seconds=hours)
    assert chosen(lowest, *(waiting(f"urgent {n}", priority=9, seconds=hours - 1) for n in range(3))) == "lowest"
    assert chosen(lowest, waiting("urgent", owner="b", priority=9, seconds=hours + 1), a=0, b=1) == "lowest"
