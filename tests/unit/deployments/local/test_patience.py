"""A slow start gets more time than one that hangs."""

from __future__ import annotations

from itertools import count

from deployments.local.patience import LONGEST_FACTOR, Patience

TIMEOUT = 60.0


def seconds_until_over(cpu_per_second: float, *, works_for_seconds: float = float("inf")) -> int:
    patience = Patience(TIMEOUT, 1000.0)
    return next(
        second
        for second in count()
        if patience.is_over(1000.0 + second, cpu_per_second * min(float(second), works_for_seconds))
    )


def test_a_server_that_does_nothing_is_given_up_after_its_timeout() -> None:
    assert seconds_until_over(0) == TIMEOUT + 1


def test_the_little_work_of_an_idle_server_buys_no_time() -> None:
    assert seconds_until_over(0.09) == TIMEOUT + 1


def test_a_server_that_works_gets_more_time_until_it_stops_to_work() -> None:
    over = seconds_until_over(0.5, works_for_seconds=100)
    assert 100 < over <= 100 + TIMEOUT + 1


def test_a_server_that_works_for_ever_is_given_up_at_last() -> None:
    assert seconds_until_over(1) == TIMEOUT * LONGEST_FACTOR + 1
