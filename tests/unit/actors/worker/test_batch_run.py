"""What a batch does with an image that does not come to its end."""

from __future__ import annotations

import asyncio

from actors.messages import WorkItem
from actors.worker.batch_run import overrun
from actors.worker.cpu_slot import CpuSlot
from cluster.codes import ImageErrorCode
from cluster.settings import Settings

ITEM = WorkItem(row=2, index=0, ordinal=0, url="https://shop.example/a.jpg", attempt=1)
LIMITS = Settings(max_image_memory_bytes=10_000_000, image_timeout_seconds=60)


async def code_after(seconds: float, taken_bytes: int) -> ImageErrorCode | None:
    """Of an image that has been compressed for so long, and has taken so much."""
    loop = asyncio.get_running_loop()
    cpu_slot = CpuSlot(loop)
    with cpu_slot.compressing(ITEM):
        taken = b"\1" * taken_bytes
        found = overrun(cpu_slot, loop.time() + seconds, LIMITS)
        del taken
    return found[1].code if found else None


async def test_an_image_has_its_time_and_its_memory_and_too_much_memory_is_told_first() -> None:
    assert await code_after(1, 0) is None
    assert await code_after(61, 0) is ImageErrorCode.TIMEOUT
    assert await code_after(1, 50_000_000) is ImageErrorCode.OUT_OF_MEMORY
    assert await code_after(61, 50_000_000) is ImageErrorCode.OUT_OF_MEMORY
