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


class WakeUps:
    """Whom to tell. They look by themselves, too; a notice only saves time.

    Handles are kept, because finding an actor asks the head node, which may be away for minutes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, asyncio.Task[ActorHandle[Any] | None]] = {}

    async def request_ended(self) -> None:
        """Its callback is due, and another request may be admitted."""
        await asyncio.gather(self._tell(registry.WEBHOOK), self._tell(registry.QUEUE_MANAGER))

    async def delivery_due(self) -> None:
        """A callback is to be made."""
        await self._tell(registry.WEBHOOK)

    async def _tell(self, name: str) -> None:
        try:
            actor = await self._find(name)
            if actor is not None:
                await actor.wake_up.remote()
                return
        except RayError as error:
            logger.warning("%s was not notified: %s", name, type(error).__name__)
        except Exception:
            logger.exception("%s was not notified", name)
        self._found.pop(name, None)  # the next notice finds it again

    async def _find(self, name: str) -> ActorHandle[Any] | None:
        if name not in self._found:
            self._found[name] = asyncio.create_task(asyncio.to_thread(registry.find, name, self._settings))
        return await asyncio.shield(self._found[name])
