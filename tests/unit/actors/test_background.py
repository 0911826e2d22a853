"""Work beside other work, and its end."""

from __future__ import annotations

import asyncio
import contextlib

from actors.background import end


async def test_who_loses_a_cancel_is_ended_all_the_same() -> None:
    cancels = 0

    async def deaf() -> None:
        nonlocal cancels
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            cancels += 1
            if cancels == 2:
                raise ValueError

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(60)), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    await end(*tasks)
    assert all(task.done() for task in tasks)
    assert cancels == 2
