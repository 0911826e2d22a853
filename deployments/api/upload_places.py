"""The places of a replica for uploads. One key has at most half of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from cluster.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MAX_UPLOADS_PER_KEY = 32
"""Half of the `max_ongoing_requests` of `Upload` in `cluster/serve.yaml`."""
MAX_UPLOADS_AT_WORK = 16
"""The uploads that are validated and stored at once. The others are being read, or wait."""
MAX_UPLOADS_AT_WORK_PER_KEY = 8
BUSY_RETRY_SECONDS = 5


class UploadPlaces:
    """The uploads of one replica, by the owners of their keys."""

    def __init__(self) -> None:
        self._at_work = asyncio.Semaphore(MAX_UPLOADS_AT_WORK)
        self._keys: dict[str, _KeyPlaces] = {}

    @contextmanager
    def one(self, owner: str) -> Iterator[UploadPlace]:
        """Hold a place of a key for the block.

        Raises:
            RefusedError: The key has no place left.
        """
        places = self._keys.setdefault(owner, _KeyPlaces())
        if places.held >= MAX_UPLOADS_PER_KEY:
            raise too_many_uploads(f"This API key is sending {MAX_UPLOADS_PER_KEY} uploads already.")
        places.held += 1
        try:
            yield UploadPlace(places.at_work, self._at_work)
        finally:
            places.held -= 1
            if not places.held:
                del self._keys[owner]


class UploadPlace:
    """The place of one upload.

    Args:
        of_key: The places at work of its key.
        of_all: The places at work of the replica.
    """

    def __init__(self, of_key: asyncio.Semaphore, of_all: asyncio.Semaphore) -> None:
        self._of_key = of_key
        self._of_all = of_all

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Wait for a place at work, and hold it for the block."""
        async with self._of_key, self._of_all:
            yield


class _KeyPlaces:
    def __init__(self) -> None:
        self.held = 0
        self.at_work = asyncio.Semaphore(MAX_UPLOADS_AT_WORK_PER_KEY)


def too_many_uploads(reason: str) -> RefusedError:
    """Return the refusal of one upload too many of a key."""
    detail = f"{reason} Try again when one of them is complete."
    return RefusedError(429, "too_many_uploads", detail, BUSY_RETRY_SECONDS)
