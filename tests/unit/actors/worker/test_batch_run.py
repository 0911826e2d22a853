"""The images of a batch that do not come to their ends."""

from __future__ import annotations

import asyncio

from actors.worker.batch_run import find_overrun
from actors.worker.cpu_slot import CpuSlot
from cluster.codes import ImageErrorCode
from tests.support.batches import work_item


async def code_after(seconds: float, taken_bytes: int) -> ImageErrorCode | None:
    """The error of an image that has been compressed for that long, and has taken that much."""
    loop = asyncio.get_running_loop()
    cpu_slot = CpuSlot(loop)
    with cpu_slot.compressing(work_item()):
        taken = b"\1" * taken_bytes
        found = find_overrun(cpu_slot, loop.time() + seconds, max_memory_bytes=10_000_000, timeout_seconds=60)
        del taken
    return found.error.code if found else None


async def test_an_image_has_its_time_and_its_memory_and_too_much_memory_is_told_first() -> None:
    assert await code_after(1, 0) is None
    assert await code_after(61, 0) is ImageErrorCode.TIMEOUT
    assert await code_after(1, 50_000_000) is ImageErrorCode.OUT_OF_MEMORY
    assert await code_after(61, 50_000_000) is ImageErrorCode.OUT_OF_MEMORY
