"""The watchdog ends actors that are alive and do not answer. Ray starts them again, and they resume from MongoDB."""

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

WATCH_POLL_SECONDS = 5.0
"""The pause between two checks."""
_PING_TIMEOUT_SECONDS = 2.0
logger = logging.getLogger("darkroom.watchdog")


class Watchdog:
    """Pings actors, and ends those that stay silent.

    Args:
        settings: The settings.
        max_unanswered: The number of pings in a row without an answer after which an actor is ended. The default is
            about a minute, since an actor that starts may be silent for a while.
    """

    def __init__(self, settings: Settings, *, max_unanswered: int = 9) -> None:
        self._settings = settings
        self._max_unanswered = max_unanswered
        self._unanswered: dict[str, int] = {}  # by name

    async def check(self, names: Iterable[str]) -> None:
        """Ping these actors one after another."""
        self._unanswered = {name: self._unanswered.get(name, 0) for name in names}
        for name in self._unanswered:
            await self._check(name)

    async def _check(self, name: str) -> None:
        try:
            actor = await asyncio.to_thread(registry.find, Pingable, name, self._settings)
            if actor is not None and not await _answers(actor):
                self._unanswered[name] += 1
                if self._unanswered[name] < self._max_unanswered:
                    return
                logger.error("%s is alive and does not answer. It is ended, and Ray starts it again", name)
                await asyncio.to_thread(registry.kill, actor, restart=True)
        except RayError:
            pass  # Ray knows that it is dead
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds while its head is away, and could start no actor then
            logger.warning("%s cannot be watched: %s", name, error)
        self._unanswered[name] = 0


async def _answers(actor: ActorProxy[Pingable]) -> bool:
    try:
        await asyncio.wait_for(actor.ping.remote(), _PING_TIMEOUT_SECONDS)
    except TimeoutError:
        return False
    return True
