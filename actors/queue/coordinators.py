"""The coordinators of a deployment: those at work, and some that wait so that the next request need not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ray.exceptions import ActorUnavailableError, RayActorError

from actors import registry
from actors.messages import NO_SHARE
from actors.request.coordinator import RequestCoordinator
from cluster.aio import Background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping

    from ray.actor import ActorHandle

    from actors.messages import RequestReport, Share
    from cluster.mongo.requests import OpenRequest
    from cluster.settings import Settings

_SOON_SECONDS = 1.0  # who has worked for less than this may be done before another process has started
_ANSWER_SECONDS = 2.0
logger = logging.getLogger("darkroom.queue_manager")


class Coordinator(NamedTuple):
    """One coordinator."""

    name: str
    actor: ActorHandle[Any]
    since: float  # of the loop's clock: when it was given its request, or began to wait


class Coordinators:
    """All coordinators that this queue manager knows of. What a request has is in MongoDB; this is who to talk to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self._at_work: dict[str, Coordinator] = {}  # by request
        self._ready: list[Coordinator] = []
        self._reserved: dict[str, Coordinator] = {}  # by name
        self._starting = 0  # that will be ready soon
        self._background = Background()
        self._doubtful: set[str] = set()  # requests that whoever is said to be at work on them knows nothing of

    def has(self, request_id: str) -> bool:
        """Whether somebody is at work on a request."""
        return request_id in self._at_work and request_id not in self._doubtful

    @property
    def names(self) -> list[str]:
        """Of those at work."""
        return [each.name for each in self._at_work.values()]

    @property
    def has_standby(self) -> bool:
        """Whether one waits for a request."""
        return bool(self._ready)

    @contextlib.contextmanager
    def reserved(self) -> Iterator[str | None]:
        """The name of one that waits, for this block alone; it waits again unless it was given a request.

        When the block fails, nobody knows whether MongoDB has given it one: then it leaves, and whoever looks for it
        finds it or its successor.
        """
        coordinator = self._ready.pop() if self._ready else None
        if coordinator is None:
            yield None
            return
        self._reserved[coordinator.name] = coordinator
        try:
            yield coordinator.name
        except BaseException:
            self._reserved.pop(coordinator.name, None)
            coordinator.actor.leave.remote()
            raise
        if self._reserved.pop(coordinator.name, None) is not None:
            self._ready.append(coordinator)

    async def begin(self, request_id: str, name: str, share: Share) -> None:
        """Let the one of that name do a request; it is started when it was not reserved."""
        coordinator = self._reserved.pop(name, None) or await self._started(name)
        self._give(request_id, coordinator, share)

    async def go_on(self, request: OpenRequest, share: Share) -> bool:
        """Find again who had a request before this queue manager knew of it; False when nobody of that name is free."""
        if request.coordinator is None:
            return False
        actor = await asyncio.to_thread(registry.find, request.coordinator, self._settings)
        if actor is None or self._is_anothers(request.coordinator, request.request_id):
            return False
        self._doubtful.discard(request.request_id)
        self._give(request.request_id, Coordinator(request.coordinator, actor, 0), share)
        return True

    def _is_anothers(self, name: str, request_id: str) -> bool:
        others = {each.name for other, each in self._at_work.items() if other != request_id}
        return name in others or name in self._reserved

    def _give(self, request_id: str, coordinator: Coordinator, share: Share) -> None:
        self._ready = [each for each in self._ready if each.name != coordinator.name]
        self._at_work[request_id] = coordinator._replace(since=self._now())
        coordinator.actor.take.remote(request_id, share)

    def end(self, open_ids: Collection[str], *, standing: int) -> None:
        """Take back those whose requests are closed; more than are to stand by leave."""
        for request_id in self._at_work.keys() - set(open_ids):
            coordinator = self._at_work.pop(request_id)
            self._doubtful.discard(request_id)
            if len(self._ready) + len(self._reserved) + self._starting < standing:
                self._ready.append(coordinator._replace(since=self._now()))
            else:
                coordinator.actor.leave.remote()

    async def keep_standby(self, *, standing: int, at_most: int) -> bool:
        """Start as many as always stand by, and one that waits for the next request unless somebody is free as soon.

        Returns:
            Whether more are ready now.
        """
        there = len(self._ready) + len(self._reserved) + len(self._at_work)
        missing = min(standing, at_most) - there
        if missing <= 0:
            missing = int(there < at_most and not (self._ready or self._is_one_free_soon()))
        starts = (self._make_ready(registry.new_coordinator_name()) for _ in range(missing))
        self._starting = missing
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        self._starting = 0
        for error in (each for each in outcomes if each is not None):
            raise error
        return missing > 0

    async def _make_ready(self, name: str) -> None:
        coordinator = await self._started(name)
        self._ready.append(coordinator)
        # The first call asks the head where it is: now, because the head may be away when it counts.
        self._background.start(self._meet(coordinator))

    async def _meet(self, coordinator: Coordinator) -> None:
        with contextlib.suppress(RayActorError):
            await coordinator.actor.ping.remote()

    def _is_one_free_soon(self) -> bool:
        return any(self._now() - each.since < _SOON_SECONDS for each in self._at_work.values())

    async def dismiss_orphans(self) -> None:
        """Let those leave that nobody gives a request any more: they waited for a queue manager that is gone."""
        for name in await asyncio.to_thread(registry.coordinator_names, self._settings):
            actor = await asyncio.to_thread(registry.find, name, self._settings)
            # Looked up now, because a request may have been admitted meanwhile.
            ours = (*self._at_work.values(), *self._reserved.values(), *self._ready)
            if actor is not None and all(name != each.name for each in ours):
                actor.leave.remote()

    async def set_shares(self, shares: Mapping[str, Share], *, at_once: bool) -> dict[str, RequestReport]:
        """Tell everyone at work how much of the cluster it may use; returns where each is that has answered."""
        told = {request_id: self._at_work[request_id] for request_id in shares if request_id in self._at_work}
        pushes = [self._push(each, told[each], shares[each], at_once=at_once) for each in told]
        answers = zip(told, await asyncio.gather(*pushes), strict=True)
        return {request_id: standing for request_id, standing in answers if standing is not None}

    async def withdraw_shares(self, open_ids: Iterable[str], *, at_once: bool) -> int:
        """Let nobody begin anything; returns how many images of these requests are still in tasks.

        `at_once`: what waits for its sources is given back, too.
        """
        answers = await self.set_shares(dict.fromkeys(self._at_work, NO_SHARE), at_once=at_once)
        # Who does not answer is starting or busy, or was not found yet, so nobody knows.
        return sum(answers[each].images_in_tasks if each in answers else 1 for each in open_ids)

    async def _push(
        self, request_id: str, coordinator: Coordinator, share: Share, *, at_once: bool
    ) -> RequestReport | None:
        standing: RequestReport | None = None
        try:
            answer: Awaitable[Any] = coordinator.actor.set_share.remote(request_id, share, at_once=at_once)
            standing = await asyncio.wait_for(answer, _ANSWER_SECONDS)
        except TimeoutError:
            return None  # it is starting or busy; the next look tells it again
        except ActorUnavailableError:
            logger.info("%s is being restarted", coordinator.name)
        except RayActorError:
            if self._at_work.get(request_id) is coordinator:
                del self._at_work[request_id]  # it is gone for good; the next look finds another
            return None
        if standing is None and self._at_work.get(request_id) is coordinator:
            self._doubtful.add(request_id)
        return standing

    async def _started(self, name: str) -> Coordinator:
        arguments = (RequestCoordinator, name, self._settings, name, self._settings)
        return Coordinator(name, await asyncio.to_thread(registry.start, *arguments), self._now())
