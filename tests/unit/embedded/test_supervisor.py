"""The pauses of the supervisor."""

from __future__ import annotations

from cluster.embedded.supervisor import pause_before


def test_the_first_start_comes_at_once_and_later_ones_ever_more_slowly() -> None:
    assert [pause_before(attempts) for attempts in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_before(10_000) == 60
