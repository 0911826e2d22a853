"""Ends actors that live and do not answer: whatever keeps them, Ray starts them again, and they find all in MongoDB."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray.actor import ActorHandle

    from cluster.settings import Settings

WATCH_SECONDS = 5.0
"""Between two looks."""
_ANSWER_SECONDS = 2.0
logger = logging.getLogger("darkroom.watch")


class Watch:
    """Asks actors for an answer, of which any will do.

    Args:
        settings: The settings.
        silent_seconds: After so long without any answer an actor is ended. A new one may take a while to start.
    """

    def __init__(self, settings: Settings, *, silent_seconds: float = 60) -> None:
        self._settings = settings
        self._silent_seconds = silent_seconds
        self._now = asyncio.get_running_loop().time
        self._heard_at: dict[str, float] = {}  # by name

    async def look(self, names: Iterable[str]) -> None:
        """Ask each of these, one after another."""
        self._heard_at = {name: self._heard_at.get(name, self._now()) for name in names}
        for name in self._heard_at:
            await self._ask(name)

    async def _ask(self, name: str) -> None:
        try:
            actor = await asyncio.to_thread(registry.find, name, self._settings)
            if actor is not None and not await self._answers(name, actor):
                return
        except RayError:
            pass  # Ray knows that it is dead
        except Exception as error:  # noqa: BLE001 - whatever Ray raises when its head is away, and could start nobody
            logger.warning("%s cannot be watched: %s", name, error)
        self._heard_at[name] = self._now()

    async def _answers(self, name: str, actor: ActorHandle[Any]) -> bool:
        """Whether there is an answer; who is silent for too long is ended."""
        try:
            await asyncio.wait_for(actor.ping.remote(), _ANSWER_SECONDS)
        except TimeoutError:
            if self._now() - self._heard_at[name] < self._silent_seconds:
                return False
            logger.exception("%s lives and does not answer; it is ended, and started again", name)
            await asyncio.to_thread(ray.kill, actor, no_restart=False)
        return True
