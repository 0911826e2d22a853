"""The CPU slot of a batch: one image at a time is compressed in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from actors.messages import WorkItem

_STATM = Path("/proc/self/statm")
_RESIDENT = 1  # the field, in pages; see proc(5)
_AT_ONCE = 2  # one is compressed while the next is ready for the thread


class CpuSlotClosedError(Exception):
    """The batch is to end, and the CPU slot takes no image any more."""


class Compressing(NamedTuple):
    """An image in the thread."""

    item: WorkItem
    since: float  # of the loop's clock
    resident_bytes: int  # of the process, when it began


class CpuSlot:
    """Who uses it, since when, and how long nobody did."""

    def __init__(self, clock: asyncio.AbstractEventLoop) -> None:
        self._now = clock.time
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._users: set[WorkItem] = set()
        self._compressed: set[WorkItem] = set()
        self._is_closed = False
        self._idle_since: float | None = self._now()
        self._idle_seconds = 0.0
        self._compressing: Compressing | None = None  # set by the thread

    @contextlib.asynccontextmanager
    async def turn(self, item: WorkItem) -> AsyncIterator[None]:
        """Wait for the CPU slot, and hold it for the block."""
        async with self._turns:
            if self._idle_since is not None:
                self._idle_seconds += self._now() - self._idle_since
                self._idle_since = None
            self._users.add(item)
            try:
                yield
                self._compressed.add(item)
            finally:
                self._users.discard(item)
                if not self._users:
                    self._idle_since = self._now()

    @contextlib.contextmanager
    def compressing(self, item: WorkItem) -> Iterator[None]:
        """Compress an image in the block, in the thread. Raises `CpuSlotClosedError` once the slot is closed."""
        # First, so that whoever closes the CPU slot sees it or is seen.
        self._compressing = Compressing(item, self._now(), resident_bytes())
        try:
            if self._is_closed:
                raise CpuSlotClosedError
            yield
        finally:
            self._compressing = None

    def close(self) -> None:
        """Let no other image begin. A cancelled task alone may go on: `wait_for` of Python 3.11 can lose a cancel."""
        self._is_closed = True

    def keeps(self, item: WorkItem) -> bool:
        """Whether an image is compressed or put, and is to come to its end."""
        return item in self._compressed or (self._compressing is not None and self._compressing.item is item)

    @property
    def is_compressing(self) -> bool:
        """Whether the thread is at work."""
        return self._compressing is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return not self._users

    @property
    def idle_seconds(self) -> float:
        """How long nobody has used it until now."""
        return self._idle_seconds + (0 if self._idle_since is None else self._now() - self._idle_since)

    @property
    def current(self) -> Compressing | None:
        """What is compressed now; the thread may end it at any moment."""
        return self._compressing


def resident_bytes() -> int:
    """The resident set size of this process now."""
    return int(_STATM.read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
