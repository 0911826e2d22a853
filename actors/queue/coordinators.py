"""The coordinators of a deployment: those that have a request, and those that stand by for the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from ray.exceptions import ActorUnavailableError, RayActorError

from actors import registry
from actors.messages import NO_SHARE, ShareUpdate
from actors.queue.plan import CoordinatorState
from actors.request.coordinator import RequestCoordinator
from cluster.aio import Background

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ray.actor import ActorProxy

    from actors.messages import RequestReport, Share
    from cluster.mongo.requests import OpenRequest
    from cluster.settings import Settings

_NEW_WORK_SECONDS = 1.0  # a request that has run for less may be done before another process has started
_REPORT_WAIT_SECONDS = 2.0
logger = logging.getLogger("darkroom.queue_manager")


class Coordinator(NamedTuple):
    """The handle of one coordinator."""

    name: str
    actor: ActorProxy[RequestCoordinator]
    since: float  # when it got its request or began to stand by, on the loop's clock


class Silence(Enum):
    """Why a coordinator has given no report."""

    LATE = auto()  # it is starting or busy, and the next step asks it again
    RESTARTING = auto()  # it may have lost its request
    WITHOUT_REQUEST = auto()  # it does not have the request
    GONE = auto()  # it has ended


class Coordinators:
    """The coordinators that this queue manager knows. MongoDB holds what they do. This holds how to reach them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self._assigned: dict[str, Coordinator] = {}  # by request
        self._unconfirmed: set[str] = set()  # assigned requests that their coordinator knows nothing of
        self._standby: list[Coordinator] = []
        self._reserved: dict[str, Coordinator] = {}  # by name
        self._starting = 0
        self._may_have_orphans = True
        self._background = Background()

    def state(self) -> CoordinatorState:
        """Return a snapshot for a plan."""
        return CoordinatorState(
            assigned=frozenset(self._assigned),
            unconfirmed=frozenset(self._unconfirmed),
            standby=len(self._standby),
            reserved=len(self._reserved),
            starting=self._starting,
            may_have_orphans=self._may_have_orphans,
            has_new_work=any(self._now() - each.since < _NEW_WORK_SECONDS for each in self._assigned.values()),
        )

    @property
    def names(self) -> list[str]:
        """The names of the coordinators that have a request."""
        return [each.name for each in self._assigned.values()]

    @contextlib.contextmanager
    def reserved(self) -> Iterator[str | None]:
        """Reserve a coordinator that stands by, for this block. It stands by again unless it was assigned a request.

        When the block fails, MongoDB may have given it a request or not. Then its process ends, and a later step finds
        it or its successor.
        """
        coordinator = self._standby.pop() if self._standby else None
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
            self._standby.append(coordinator)

    async def assign(self, request_id: str, name: str, share: Share) -> None:
        """Give a request to the coordinator of that name, which is started unless it was reserved."""
        coordinator = self._reserved.pop(name, None) or await self._started(name)
        self._give(request_id, coordinator, share)

    async def resume(self, request: OpenRequest, share: Share) -> bool:
        """Find the coordinator that had a request before. False when it is gone or has another request."""
        if request.coordinator is None:
            return False
        actor = await asyncio.to_thread(registry.find, RequestCoordinator, request.coordinator, self._settings)
        if actor is None or self._has_another(request.coordinator, request.request_id):
            return False
        self._unconfirmed.discard(request.request_id)
        self._give(request.request_id, Coordinator(request.coordinator, actor, 0), share)
        return True

    def _has_another(self, name: str, request_id: str) -> bool:
        others = {each.name for other, each in self._assigned.items() if other != request_id}
        return name in others or name in self._reserved

    def _give(self, request_id: str, coordinator: Coordinator, share: Share) -> None:
        self._standby = [each for each in self._standby if each.name != coordinator.name]
        self._assigned[request_id] = coordinator._replace(since=self._now())
        coordinator.actor.take.remote(request_id, share)

    def unassign(self, request_id: str, *, stands_by: bool) -> None:
        """Take back the coordinator of a closed request. It stands by, or its process ends."""
        coordinator = self._assigned.pop(request_id, None)
        self._unconfirmed.discard(request_id)
        if coordinator is None:
            return
        if stands_by:
            self._standby.append(coordinator._replace(since=self._now()))
        else:
            coordinator.actor.leave.remote()

    async def start_standby(self, count: int) -> None:
        """Start coordinators that stand by. Raises the first error when not all could be started."""
        self._starting = count
        starts = (self._start_one() for _ in range(count))
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        self._starting = 0
        for error in (each for each in outcomes if each is not None):
            raise error

    async def _start_one(self) -> None:
        coordinator = await self._started(registry.new_coordinator_name())
        self._standby.append(coordinator)
        # The first call asks the head for the address: now, because the head may be away when it counts.
        self._background.start(self._ping(coordinator))

    async def _ping(self, coordinator: Coordinator) -> None:
        with contextlib.suppress(RayActorError):
            await coordinator.actor.ping.remote()

    async def dismiss_orphans(self) -> None:
        """End the coordinators that stood by for an earlier queue manager. Nothing gives them a request any more."""
        for name in await asyncio.to_thread(registry.coordinator_names, self._settings):
            actor = await asyncio.to_thread(registry.find, RequestCoordinator, name, self._settings)
            # Compared now, because a request may have been admitted meanwhile.
            ours = (*self._assigned.values(), *self._reserved.values(), *self._standby)
            if actor is not None and all(name != each.name for each in ours):
                actor.leave.remote()
        self._may_have_orphans = False

    async def set_shares(self, shares: Mapping[str, Share], *, make_room: bool) -> dict[str, RequestReport]:
        """Tell each coordinator the share of its request, and return the reports of those that answer."""
        told = {request_id: self._assigned[request_id] for request_id in shares if request_id in self._assigned}
        calls = [self._update_share(told[each], each, ShareUpdate(shares[each], make_room)) for each in told]
        reports: dict[str, RequestReport] = {}
        for request_id, answer in zip(told, await asyncio.gather(*calls), strict=True):
            if not isinstance(answer, Silence):
                reports[request_id] = answer
            elif self._assigned.get(request_id) is told[request_id]:
                self._doubt(request_id, answer)
        return reports

    async def withdraw_shares(self, open_ids: Iterable[str], *, make_room: bool) -> int:
        """Let no coordinator begin anything, and return how many images of these requests are still in tasks.

        With `make_room`, batches that wait for their sources release their images, too.
        """
        reports = await self.set_shares(dict.fromkeys(self._assigned, NO_SHARE), make_room=make_room)
        # A coordinator that does not answer is starting or busy, or was not found yet: it may have some.
        return sum(reports[each].images_in_tasks if each in reports else 1 for each in open_ids)

    async def _update_share(
        self, coordinator: Coordinator, request_id: str, update: ShareUpdate
    ) -> RequestReport | Silence:
        try:
            answer = coordinator.actor.update_share.remote(request_id, update)
            report = await asyncio.wait_for(answer, _REPORT_WAIT_SECONDS)
        except TimeoutError:
            return Silence.LATE
        except ActorUnavailableError:
            logger.info("%s is being restarted", coordinator.name)
            return Silence.RESTARTING
        except RayActorError:
            return Silence.GONE
        return Silence.WITHOUT_REQUEST if report is None else report

    def _doubt(self, request_id: str, silence: Silence) -> None:
        """Note that a coordinator gave no report. A later step assigns its request again, unless it was only late."""
        if silence is Silence.GONE:
            del self._assigned[request_id]
        elif silence is not Silence.LATE:
            self._unconfirmed.add(request_id)

    async def _started(self, name: str) -> Coordinator:
        actor = await asyncio.to_thread(registry.start, RequestCoordinator, name, self._settings, name, self._settings)
        return Coordinator(name, actor, self._now())
