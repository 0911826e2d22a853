"""Self-fencing: an actor that does not reach MongoDB for long ends itself, because its node may be cut off.

Ray then starts it again on any node.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from cluster.aio import forever
from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from typing import NoReturn

    from cluster.mongo.connection import Database
    from cluster.settings import Settings

_CALLS = 6
"""The patience, in calls to MongoDB that time out. A new start loses nothing while MongoDB is away for all."""
_CHECK_SECONDS = 2.0
logger = logging.getLogger("darkroom.self_fencing")


async def fence_when_cut_off(database: Database, settings: Settings) -> NoReturn:
    """Ping MongoDB for ever, and end this process when it has not answered for long.

    Args:
        database: The connection.
        settings: How long a call may take.
    """
    now = asyncio.get_running_loop().time
    patience_seconds = _CALLS * settings.store_timeout_seconds
    failing_since: float | None = None

    async def check() -> None:
        nonlocal failing_since
        try:
            await database.ping()
            failing_since = None
        except Exception as error:  # after any error, MongoDB was not reached
            if not isinstance(error, StoreUnavailableError):
                logger.exception("MongoDB could not be pinged")
            failing_since = failing_since or now()
            if now() - failing_since > patience_seconds:
                _fence(now() - failing_since)

    await forever(check, lambda: asyncio.sleep(_CHECK_SECONDS), "self-fencing")


def _fence(seconds: float) -> None:
    logger.error("MongoDB was not reached for %.0f s. This actor ends itself, and Ray starts it on any node", seconds)
    os._exit(1)  # to Ray a crash, after which it starts the actor again
