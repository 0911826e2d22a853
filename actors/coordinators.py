"""The coordinators of a deployment: those at work, and some that wait so that the next request need not."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ray.exceptions import ActorUnavailableError, RayActorError

from actors import registry
from actors.coordinator import RequestCoordinator

if TYPE_CHECKING:
    from collections.abc import Collection

    from ray.actor import ActorHandle

    from cluster.mongo.requests import OpenRequest
    from cluster.settings import Settings

_MIN_READY = 1
_MIN_ALL = 2  # so that one request after another starts no process
_MAX_READY = 2
_ANSWER_SECONDS = 2.0
logger = logging.getLogger("darkroom.queue_manager")


class Coordinator(NamedTuple):
    """One coordinator."""

    name: str
    actor: ActorHandle[Any]


class Coordinators:
    """All coordinators that this queue manager knows of. What a request has is in MongoDB; this is who to talk to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._at_work: dict[str, Coordinator] = {}  # by request
        self._ready: list[Coordinator] = []
        self._doubtful: set[str] = set()  # requests that whoever is said to be at work on them knows nothing of

    @property
    def at_work(self) -> int:
        """How many have a request."""
        return len(self._at_work)

    def has(self, request_id: str) -> bool:
        """Whether somebody is at work on a request."""
        return request_id in self._at_work and request_id not in self._doubtful

    def next_name(self) -> str:
        """The name of who will get the next request: one that waits, or one that is yet to start."""
        return self._ready[-1].name if self._ready else registry.new_coordinator_name()

    async def begin(self, request_id: str, name: str, window: int) -> None:
        """Let the one of that name do a request."""
        coordinator = next((each for each in self._ready if each.name == name), None)
        if coordinator is None:
            coordinator = await self._started(name)
        else:
            self._ready.remove(coordinator)
        self._at_work[request_id] = coordinator
        coordinator.actor.take.remote(request_id, window)

    async def go_on(self, request: OpenRequest, window: int) -> bool:
        """Find again who had a request before this queue manager knew of it; False when nobody of that name is left."""
        if request.coordinator is None:
            return False
        actor = await asyncio.to_thread(registry.find, request.coordinator, self._settings)
        if actor is None:
            return False
        self._doubtful.discard(request.request_id)
        self._at_work[request.request_id] = Coordinator(request.coordinator, actor)
        actor.take.remote(request.request_id, window)
        return True

    def end(self, open_ids: Collection[str]) -> None:
        """Take back those whose requests are closed; more than may wait leave."""
        for request_id in self._at_work.keys() - set(open_ids):
            coordinator = self._at_work.pop(request_id)
            self._doubtful.discard(request_id)
            if len(self._ready) < _MAX_READY:
                self._ready.append(coordinator)
            else:
                coordinator.actor.leave.remote()

    async def keep_ready(self) -> None:
        """Start what is to wait for the next request."""
        while len(self._ready) < max(_MIN_READY, _MIN_ALL - self.at_work):
            self._ready.append(await self._started(registry.new_coordinator_name()))

    async def dismiss_strangers(self) -> None:
        """Let those leave that nobody gives a request any more: they waited for a queue manager that is gone."""
        for name in await asyncio.to_thread(registry.coordinator_names, self._settings):
            actor = await asyncio.to_thread(registry.find, name, self._settings)
            # Looked up now, because a request may have been admitted meanwhile.
            if actor is not None and all(name != each.name for each in (*self._at_work.values(), *self._ready)):
                actor.leave.remote()

    async def set_window(self, batches: int) -> int:
        """Tell everyone at work how many batches may be in flight; returns how many images are in tasks now."""
        pushes = [self._push(request_id, coordinator, batches) for request_id, coordinator in self._at_work.items()]
        return sum(await asyncio.gather(*pushes))

    async def _push(self, request_id: str, coordinator: Coordinator, batches: int) -> int:
        images: int | None = None
        try:
            images = await asyncio.wait_for(coordinator.actor.set_window.remote(request_id, batches), _ANSWER_SECONDS)
        except TimeoutError:
            return 1  # it is starting or busy, so nobody knows; the next look tells it again
        except ActorUnavailableError:
            logger.info("%s is being restarted", coordinator.name)
        except RayActorError:
            if self._at_work.get(request_id) is coordinator:
                del self._at_work[request_id]  # it is gone for good; the next look finds another
            return 0
        if images is None and self._at_work.get(request_id) is coordinator:
            self._doubtful.add(request_id)
        return images or 0

    async def _started(self, name: str) -> Coordinator:
        arguments = (RequestCoordinator, name, self._settings, name, self._settings)
        return Coordinator(name, await asyncio.to_thread(registry.start, *arguments))
