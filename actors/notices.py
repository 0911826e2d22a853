"""Telling the actors that a deployment has one of that there is something to do."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError

from actors import registry

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from cluster.settings import Settings

logger = logging.getLogger("darkroom.notices")


class Notices:
    """Whom to tell. They look by themselves, too; a notice only saves time.

    Handles are kept, because finding an actor asks the head node, which may be away for minutes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, ActorHandle[Any]] = {}

    async def request_ended(self) -> None:
        """Its callback is due, and another request may be admitted."""
        await asyncio.gather(self._tell(registry.WEBHOOK), self._tell(registry.QUEUE_MANAGER))

    async def delivery_due(self) -> None:
        """A callback is to be made."""
        await self._tell(registry.WEBHOOK)

    async def _tell(self, name: str) -> None:
        try:
            actor = self._known.get(name) or await asyncio.to_thread(registry.find, name, self._settings)
            if actor is not None:
                self._known[name] = actor
                await actor.notify.remote()
        except RayError as error:
            self._known.pop(name, None)  # the next notice finds it again
            logger.warning("%s was not notified: %s", name, type(error).__name__)
        except Exception:
            logger.exception("%s was not notified", name)
