from __future__ import annotations

from cluster.retry import backoff_seconds


def test_pauses_are_spread_over_a_range_that_doubles_up_to_the_cap() -> None:
    for attempt, ceiling in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (5_000, 10)):
        pauses = [backoff_seconds(attempt, base_seconds=1, cap_seconds=10) for _ in range(500)]
        assert 0 <= min(pauses) < ceiling * 0.1
        assert ceiling * 0.9 < max(pauses) <= ceiling
