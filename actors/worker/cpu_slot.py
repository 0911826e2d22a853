"""The CPU slot of a batch: one image at a time is compressed in it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from actors.messages import WorkItem

_MAX_HOLDERS = 2  # one is compressed while the next is ready for the thread


class CpuSlotClosedError(Exception):
    """The batch is to end, and the CPU slot takes no image any more."""


class CpuSlot:
    """The images that hold the CPU slot, and how long it was idle."""

    def __init__(self, clock: asyncio.AbstractEventLoop) -> None:
        self._now = clock.time
        self._turns = asyncio.Semaphore(_MAX_HOLDERS)
        self._holders: set[WorkItem] = set()
        self._compressed: set[WorkItem] = set()
        self._is_closed = False
        self._idle_since: float | None = self._now()
        self._idle_seconds = 0.0
        self._compressing: WorkItem | None = None  # set by the thread

    @contextlib.asynccontextmanager
    async def turn(self, item: WorkItem) -> AsyncIterator[None]:
        """Wait for the CPU slot, and hold it for the block."""
        async with self._turns:
            if self._idle_since is not None:
                self._idle_seconds += self._now() - self._idle_since
                self._idle_since = None
            self._holders.add(item)
            try:
                yield
                self._compressed.add(item)
            finally:
                self._holders.discard(item)
                if not self._holders:
                    self._idle_since = self._now()

    @contextlib.contextmanager
    def compressing(self, item: WorkItem) -> Iterator[None]:
        """Compress an image in the block, in the thread. Raises `CpuSlotClosedError` once the slot is closed."""
        # Set before the check. So either `will_finish` sees this image, or the check sees that the slot is closed.
        self._compressing = item
        try:
            if self._is_closed:
                raise CpuSlotClosedError
            yield
        finally:
            self._compressing = None

    def close(self) -> None:
        """Let no other image begin. A cancelled task alone may go on: `wait_for` of Python 3.11 can lose a cancel."""
        self._is_closed = True

    def will_finish(self, item: WorkItem) -> bool:
        """Return whether an image is compressed or put, so that it is finished although the slot is closed."""
        return item in self._compressed or self._compressing is item

    @property
    def is_compressing(self) -> bool:
        """Whether the thread is at work."""
        return self._compressing is not None

    @property
    def is_idle(self) -> bool:
        """Whether no image holds the slot."""
        return not self._holders

    @property
    def idle_seconds(self) -> float:
        """How long no image has held the slot until now."""
        return self._idle_seconds + (0 if self._idle_since is None else self._now() - self._idle_since)
