"""An actor that does not reach MongoDB for long leaves: its node may be cut off, and Ray starts it on any node."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.settings import Settings

_CALLS = 6
"""As long as so many calls take; while MongoDB is away for all, a new start loses nothing."""
logger = logging.getLogger("darkroom.reach")


class Reach:
    """Whether an actor reaches MongoDB.

    Args:
        settings: How long a call may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._now = asyncio.get_running_loop().time
        self._most_seconds = _CALLS * settings.store_timeout_seconds
        self._failing_since: float | None = None

    def reached(self) -> None:
        """It does."""
        self._failing_since = None

    def failed(self) -> None:
        """It does not; when it has not for too long, this process ends."""
        if self._failing_since is None:
            self._failing_since = self._now()
        seconds = self._now() - self._failing_since
        if seconds > self._most_seconds:
            logger.error("MongoDB was not reached for %.0f s; this actor leaves, to be started on any node", seconds)
            os._exit(1)  # to Ray a crash, after which it starts it again
