"""An actor that does not reach MongoDB for long leaves: its node may be cut off, and Ray starts it on any node."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from typing import NoReturn

    from cluster.mongo.connection import Database
    from cluster.settings import Settings

_CALLS = 6
"""As long as so many calls take; while MongoDB is away for all, a new start loses nothing."""
_PAUSE_SECONDS = 2.0
logger = logging.getLogger("darkroom.reach")


async def fence_when_cut_off(database: Database, settings: Settings) -> NoReturn:
    """Ask MongoDB for ever, also while there is nothing to do, and end this process when it has not answered for long.

    Args:
        database: Whose primary is asked.
        settings: How long a call may take.
    """
    now = asyncio.get_running_loop().time
    failing_since: float | None = None
    while True:
        try:
            await database.ping()
            failing_since = None
        except Exception as error:  # whatever it is, MongoDB was not reached, and this must go on
            if not isinstance(error, StoreUnavailableError):
                logger.exception("MongoDB could not be asked")
            failing_since = failing_since or now()
            if now() - failing_since > _CALLS * settings.store_timeout_seconds:
                _leave(now() - failing_since)
        await asyncio.sleep(_PAUSE_SECONDS)


def _leave(seconds: float) -> None:
    logger.error("MongoDB was not reached for %.0f s; this actor leaves, to be started on any node", seconds)
    os._exit(1)  # to Ray a crash, after which it starts it again
