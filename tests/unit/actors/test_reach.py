"""When an actor that does not reach MongoDB leaves."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from actors.reach import Reach
from cluster.settings import Settings

if TYPE_CHECKING:
    import pytest


async def test_it_leaves_when_calls_have_failed_for_long_and_none_has_succeeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    reach = Reach(Settings(store_timeout_seconds=0.01))
    reach.failed()
    await asyncio.sleep(0.05)
    reach.failed()
    reach.reached()
    await asyncio.sleep(0.05)
    reach.failed()
    assert exits == []
    await asyncio.sleep(0.07)
    reach.failed()
    assert exits == [1]
