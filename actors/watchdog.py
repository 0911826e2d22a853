"""Ends actors that live and do not answer: whatever keeps them, Ray starts them again, and they find all in MongoDB."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ray.exceptions import RayError

from actors import registry
from actors.registry import Pingable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray.actor import ActorProxy

    from cluster.settings import Settings

WATCH_SECONDS = 5.0
"""Between two looks."""
_PING_TIMEOUT_SECONDS = 2.0
logger = logging.getLogger("darkroom.watch")


class Watchdog:
    """Asks actors for an answer, of which any will do.

    Args:
        settings: The settings.
        questions: After so many, one after another and none of them answered, an actor is ended. By default that is a
            minute, since a new one may take a while to start.
    """

    def __init__(self, settings: Settings, *, questions: int = 9) -> None:
        self._settings = settings
        self._questions = questions
        self._unanswered: dict[str, int] = {}  # by name

    async def check(self, names: Iterable[str]) -> None:
        """Ask each of these, one after another."""
        self._unanswered = {name: self._unanswered.get(name, 0) for name in names}
        for name in self._unanswered:
            await self._ask(name)

    async def _ask(self, name: str) -> None:
        try:
            actor = await asyncio.to_thread(registry.find, Pingable, name, self._settings)
            if actor is not None and not await _answers(actor):
                self._unanswered[name] += 1
                if self._unanswered[name] < self._questions:
                    return
                logger.error("%s lives and does not answer; it is ended, and started again", name)
                await asyncio.to_thread(registry.kill, actor, restart=True)
        except RayError:
            pass  # Ray knows that it is dead
        except Exception as error:  # noqa: BLE001 - whatever Ray raises when its head is away, and could start nobody
            logger.warning("%s cannot be watched: %s", name, error)
        self._unanswered[name] = 0


async def _answers(actor: ActorProxy[Pingable]) -> bool:
    try:
        await asyncio.wait_for(actor.ping.remote(), _PING_TIMEOUT_SECONDS)
    except TimeoutError:
        return False
    return True
