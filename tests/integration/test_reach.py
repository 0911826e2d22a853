"""When an actor that does not reach MongoDB leaves."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from actors.reach import leave_when_cut_off
from cluster.mongo.connection import Database

if TYPE_CHECKING:
    from cluster.settings import Settings

CALL_SECONDS = 0.2


class LeftError(Exception):
    """In place of the end of the process."""


@pytest.fixture(autouse=True)
def _stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_code: int) -> None:
        raise LeftError

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr("actors.reach._PAUSE_SECONDS", 0.01)


async def test_it_leaves_when_mongodb_was_not_reached_for_as_long_as_six_calls_take(isolated: Settings) -> None:
    nowhere = {"mongo_url": "mongodb://127.0.0.1:9/?replicaSet=darkroom", "store_timeout_seconds": CALL_SECONDS}
    settings = isolated.model_copy(update=nowhere)
    begun = asyncio.get_running_loop().time()
    async with Database.open(settings) as database:
        with pytest.raises(LeftError):
            await asyncio.wait_for(leave_when_cut_off(database, settings), 60)
    assert asyncio.get_running_loop().time() - begun > 6 * CALL_SECONDS


async def test_it_stays_while_mongodb_answers(database: Database, isolated: Settings) -> None:
    settings = isolated.model_copy(update={"store_timeout_seconds": 0.01})
    with pytest.raises(TimeoutError):  # and not that it has left
        await asyncio.wait_for(leave_when_cut_off(database, settings), 1)
