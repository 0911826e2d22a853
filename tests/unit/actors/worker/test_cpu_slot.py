"""Who may use the cpu_slot of a batch that is to end."""

from __future__ import annotations

import asyncio

import pytest

from actors.messages import WorkItem
from actors.worker.cpu_slot import CpuSlot, CpuSlotClosedError


def item(row: int) -> WorkItem:
    return WorkItem(row=row, index=0, ordinal=row, url="https://shop.example/a.jpg", attempt=1)


def cpu_slot() -> CpuSlot:
    return CpuSlot(asyncio.get_running_loop())


async def test_what_has_begun_when_the_core_closes_is_kept() -> None:
    used, first = cpu_slot(), item(1)
    with used.compressing(first):
        used.close()
        assert used.is_compressing
        assert (used.keeps(first), used.keeps(item(2))) == (True, False)
    assert not used.is_compressing


async def test_nothing_begins_once_it_is_closed() -> None:
    used = cpu_slot()
    used.close()
    with pytest.raises(CpuSlotClosedError), used.compressing(item(1)):
        pytest.fail("it was let in")
    assert not used.is_compressing
    assert not used.keeps(item(1))


async def test_what_was_compressed_is_kept_until_it_is_put() -> None:
    used = cpu_slot()
    async with used.turn(item(1)):
        with used.compressing(item(1)):
            pass
    used.close()
    assert used.keeps(item(1))


async def test_what_failed_in_the_core_is_not_kept() -> None:
    used = cpu_slot()
    with pytest.raises(ValueError, match="broken"):
        async with used.turn(item(1)):
            raise ValueError("broken")
    assert not used.keeps(item(1))
    assert used.is_idle
