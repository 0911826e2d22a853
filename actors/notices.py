"""Telling the actors that a deployment has one of that there is something to do."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from actors import registry

if TYPE_CHECKING:
    from cluster.settings import Settings

logger = logging.getLogger("darkroom.notices")


async def tell_system_actors(settings: Settings) -> None:
    """A request has ended: its callback is due, and another may be admitted. They look by themselves, too."""
    try:
        for name in (registry.WEBHOOK, registry.QUEUE_MANAGER):
            actor = await asyncio.to_thread(registry.find, name, settings)
            if actor is not None:
                actor.notify.remote()
    except Exception:
        logger.exception("nobody was notified")
