"""The limits of the body of an upload: its size, its pace, and the slow uploads of one key."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import RefusedError
from deployments.api.bodies import declared_bytes
from deployments.api.upload_places import too_many_uploads

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORM_OVERHEAD_BYTES = 1024 * 1024
"""The size of the fields and boundaries around the file of an upload."""
MIN_BYTES_PER_SECOND = 16 * 1024
"""The lowest mean pace of an upload. A telephone at the edge of its network is faster."""
GRACE_SECONDS = 5.0
"""The time in which an upload may be slower."""
SLOW_SECONDS = 1.0
"""The time after which an unfinished upload counts as slow."""
_LOOK_SECONDS = 1.0
"""The time that one wait for the client counts at most."""
MAX_SLOW_UPLOADS_PER_KEY = 8
"""The slow uploads that a key may have at once, so that it has places left for others."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The limits of one body.

    Attributes:
        max_bytes: The size of the largest body.
        idle_seconds: The time in which nothing may come.
        total_seconds: The time that the whole body may take.
        grace_seconds: The time before the lowest pace counts.
        slow_seconds: The time after which an unfinished upload counts as slow.
    """

    max_bytes: int
    idle_seconds: float
    total_seconds: float
    grace_seconds: float = GRACE_SECONDS
    slow_seconds: float = SLOW_SECONDS


class UploadBodies:
    """Refuses an upload that is too large or too slow, or one of too many slow uploads of its key.

    Args:
        app: The next application.
        limits: The limits of each body.
    """

    def __init__(self, app: ASGIApp, *, limits: UploadLimits) -> None:
        self._app = app
        self._limits = limits
        self._slow: Counter[str] = Counter()  # by the owner of the key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        owner: str = scope["state"]["key"].owner
        body = _Body(receive, self._limits, _Place(self._slow, owner), declared=declared_bytes(scope))
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.place.leave()


class _Place:
    """The place of one upload among the slow ones of its key."""

    def __init__(self, taken: Counter[str], owner: str) -> None:
        self._taken = taken
        self._owner = owner
        self.held = False

    def require(self) -> None:
        """Raise a `RefusedError` when the key has no place left."""
        if self._taken[self._owner] >= MAX_SLOW_UPLOADS_PER_KEY:
            raise too_many_uploads(f"This API key is sending {MAX_SLOW_UPLOADS_PER_KEY} slow uploads already.")

    def take(self) -> None:
        """Take a place, or raise as `require` does."""
        self.require()
        self._taken[self._owner] += 1
        self.held = True

    def leave(self) -> None:
        """Leave the place, if it was taken."""
        if self.held:
            self._taken[self._owner] -= 1
            self.held = False
        self._taken += Counter()  # without the keys that have none left


class _Body:
    """One body while it is read. Its time is the time spent waiting for the client, and none of the service's own."""

    def __init__(self, receive: Receive, limits: UploadLimits, place: _Place, *, declared: int) -> None:
        self._receive = receive
        self._limits = limits
        self._declared_bytes = declared
        self._received_bytes = 0
        self._waited_seconds = 0.0
        self._is_begun = False
        self._complete = False
        self._now = asyncio.get_running_loop().time
        self.place = place

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            RefusedError: The body is too large or too slow, or its key has too many slow uploads.
        """
        if self._complete:
            return await self._receive()
        if not self._is_begun:
            self._check_size(self._declared_bytes)
            self.place.require()
            self._is_begun = True
        message = await self._next()
        self._received_bytes += len(message.get("body", b""))
        self._check_size(self._received_bytes)
        if not message.get("more_body", False):
            self._complete = True
            self.place.leave()
        return message

    async def _next(self) -> Message:
        limits = self._limits
        in_pace_seconds = limits.grace_seconds + self._received_bytes / MIN_BYTES_PER_SECOND
        end_seconds = min(self._waited_seconds + limits.idle_seconds, limits.total_seconds, in_pace_seconds)
        while True:
            if self._waited_seconds >= end_seconds:
                raise self._too_slow()
            if self._waited_seconds >= limits.slow_seconds and not self.place.held:
                self.place.take()
            next_seconds = end_seconds if self.place.held else min(end_seconds, limits.slow_seconds)
            message = await self._wait(min(next_seconds - self._waited_seconds, _LOOK_SECONDS))
            if message is not None:
                return message

    async def _wait(self, seconds: float) -> Message | None:
        """Return the next message, or None when none has come in this time. A longer wait is a stall of the service."""
        begun = self._now()
        try:
            async with asyncio.timeout(seconds) as timeout:
                return await self._receive()
        except TimeoutError:
            if not timeout.expired():
                raise
            return None
        finally:
            self._waited_seconds += min(self._now() - begun, seconds)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limits.max_bytes:
            detail = f"The upload has more than {self._limits.max_bytes:,} bytes, form included. Divide the catalogue."
            raise RefusedError(413, "too_large", detail)

    def _too_slow(self) -> RefusedError:
        detail = (
            f"The upload stood still for {self._limits.idle_seconds:g} s, brought less than {MIN_BYTES_PER_SECOND:,} "
            f"bytes a second, or took more than {self._limits.total_seconds:g} s in all. "
            "Try again on a faster line, or divide the catalogue."
        )
        return RefusedError(408, "upload_too_slow", detail)
