"""When an actor that does not reach MongoDB leaves."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast

import pytest

from actors.self_fencing import fence_when_cut_off
from cluster.errors import StoreUnavailableError
from cluster.settings import Settings

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

CALL_SECONDS = 0.05
PATIENCE_SECONDS = 6 * CALL_SECONDS


class LeftError(BaseException):
    """Raised in place of the end of the process."""


class Away:
    """A database that is away in some periods, of the loop's clock, counted from its beginning."""

    def __init__(self, *periods: tuple[float, float], error: Exception | None = None) -> None:
        self._periods = periods
        self._error = error or StoreUnavailableError("mongodb", "away")
        self._begun_at = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        """How old it is."""
        return asyncio.get_running_loop().time() - self._begun_at

    async def ping(self) -> None:
        await asyncio.sleep(0)
        now = self.seconds
        if any(since <= now < until for since, until in self._periods):
            raise self._error


@pytest.fixture(autouse=True)
def _stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_code: int) -> None:
        raise LeftError

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr("actors.self_fencing._CHECK_SECONDS", 0.001)


async def leaves(away: Away, *, within_seconds: float) -> bool:
    try:
        settings = Settings(store_timeout_seconds=CALL_SECONDS)
        await asyncio.wait_for(fence_when_cut_off(cast("Database", away), settings), within_seconds)
    except TimeoutError:
        return False
    except LeftError:
        return True
    raise AssertionError


@pytest.mark.parametrize("error", [None, ValueError("of another kind")])
async def test_it_leaves_when_mongodb_was_away_for_as_long_as_six_calls_take(error: Exception | None) -> None:
    away = Away((2 * PATIENCE_SECONDS, 60), error=error)
    assert await leaves(away, within_seconds=10)
    assert away.seconds >= 3 * PATIENCE_SECONDS


async def test_it_stays_when_mongodb_was_away_for_a_moment_however_often() -> None:
    moments = [(number * PATIENCE_SECONDS, (number + 0.3) * PATIENCE_SECONDS) for number in range(1, 5)]
    assert not await leaves(Away(*moments), within_seconds=5 * PATIENCE_SECONDS)
