from __future__ import annotations

import logging

import pytest
import stamina

from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.retry import backoff_seconds, failures_logged, until_done, until_it_succeeds


def test_pauses_are_spread_over_a_range_that_doubles_up_to_the_cap() -> None:
    for attempt, ceiling in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (5_000, 10)):
        pauses = [backoff_seconds(attempt, base_seconds=1, cap_seconds=10) for _ in range(500)]
        assert 0 <= min(pauses) < ceiling * 0.1
        assert ceiling * 0.9 < max(pauses) <= ceiling


@pytest.mark.parametrize(
    ("error", "level", "message"),
    [
        (
            StoreUnavailableError("redis", "no route"),
            logging.WARNING,
            "the sweep waits: redis does not answer: no route",
        ),
        (ValueError("no row"), logging.ERROR, "the sweep failed, and it starts over"),
    ],
)
def test_a_failure_is_logged_with_its_request(
    caplog: pytest.LogCaptureFixture, error: Exception, level: int, message: str
) -> None:
    with failures_logged("the sweep", then="it starts over", request_id="req_1"):
        raise error
    (record,) = caplog.records
    assert (record.levelno, record.message, record.__dict__["requestId"]) == (level, message, "req_1")
    assert bool(record.exc_info) == (level == logging.ERROR)


def test_a_newer_process_ends_all_tries(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StaleEpochError), failures_logged("the sweep", then="it starts over"):
        raise StaleEpochError("req_1")
    assert not caplog.records


async def test_a_call_is_made_until_it_succeeds() -> None:
    outcomes: list[Exception | str] = [StoreUnavailableError("mongodb", "away"), ValueError(), "done"]

    async def call() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await until_done(call, base_seconds=0, cap_seconds=0, name="the call") == "done"
    assert not outcomes


async def test_a_block_is_tried_after_errors_of_any_kind() -> None:
    errors = [ValueError("no row"), StoreUnavailableError("redis", "no route"), None]
    with stamina.set_testing(testing=True, attempts=len(errors)):
        async for attempt in until_it_succeeds():
            with attempt:
                if (error := errors.pop(0)) is not None:
                    raise error
    assert errors == []
