"""The images that may use the CPU slot of a batch that is to end."""

from __future__ import annotations

import asyncio

import pytest

from actors.worker.cpu_slot import CpuSlot, CpuSlotClosedError
from tests.support.batches import work_item


def cpu_slot() -> CpuSlot:
    return CpuSlot(asyncio.get_running_loop())


async def test_an_image_that_has_begun_when_the_slot_closes_will_finish() -> None:
    used, first = cpu_slot(), work_item(1)
    with used.compressing(first):
        used.close()
        assert used.is_compressing
        assert (used.will_finish(first), used.will_finish(work_item(2))) == (True, False)
    assert not used.is_compressing


async def test_nothing_begins_once_it_is_closed() -> None:
    used = cpu_slot()
    used.close()
    with pytest.raises(CpuSlotClosedError), used.compressing(work_item(1)):
        pytest.fail("it was let in")
    assert not used.is_compressing
    assert not used.will_finish(work_item(1))


async def test_a_compressed_image_will_finish_its_put() -> None:
    used = cpu_slot()
    async with used.turn(work_item(1)):
        with used.compressing(work_item(1)):
            pass
    used.close()
    assert used.will_finish(work_item(1))


async def test_an_image_that_failed_in_the_slot_will_not_finish() -> None:
    used = cpu_slot()
    with pytest.raises(ValueError, match="broken"):
        async with used.turn(work_item(1)):
            raise ValueError("broken")
    assert not used.will_finish(work_item(1))
    assert used.is_idle
