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


async def leave_when_cut_off(database: Database, settings: Settings) -> NoReturn:
    """Ask MongoDB for ever, also while there is nothing to do, and end this process when it has not answered for long.

    Args:
        database: Whose primary is asked.
        settings: How long a call may take.
    """
    now = asyncio.get_running_loop().time
    reached_at = now()
    while True:
        try:
            await database.ping()
            reached_at = now()
        except StoreUnavailableError:
            seconds = now() - reached_at
            if seconds > _CALLS * settings.store_timeout_seconds:
                logger.error(  # noqa: TRY400 - it is the time that counts
                    "MongoDB was not reached for %.0f s; this actor leaves, to be started on any node", seconds
                )
                os._exit(1)  # to Ray a crash, after which it starts it again
        await asyncio.sleep(_PAUSE_SECONDS)
