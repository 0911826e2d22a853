"""The queue manager's view of the stores, the cluster and the coordinators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.queue import nodes
from actors.queue.capacity import Capacity
from actors.queue.plan import QueueState
from cluster.aio import Question
from cluster.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.messages import RequestReport
    from actors.queue.coordinators import Coordinators
    from cluster.mongo.requests import OpenRequest, RequestQueue

_HEAD_WAIT_SECONDS = 0.5  # a step goes on without the head's answer
_HEAD_SILENT_SECONDS = 5.0
_MAX_STOPPING = 8  # requests that stop at the same time


class Observer:
    """Reads the state of the queue, and remembers the last reports of the coordinators.

    Args:
        queue: The requests in MongoDB.
        coordinators: The coordinators.
        max_active: The number of requests at work. None is as many as the cluster can carry.
    """

    def __init__(self, queue: RequestQueue, coordinators: Coordinators, *, max_active: int | None) -> None:
        self._queue = queue
        self._coordinators = coordinators
        self._max_active = max_active
        self._now = asyncio.get_running_loop().time
        self._capacity = Capacity(1, 0)  # until the head has answered
        self._head = Question(nodes.capacity, _HEAD_WAIT_SECONDS)
        self._reports: Mapping[str, RequestReport] = {}
        self._working_since: dict[str, float] = {}  # by request, on the loop's clock
        self.shared_before: Mapping[str, int] = {}
        """The priorities of the requests that had shares at the last step."""
        self.stopping: set[str] = set()
        """Requests that the queue manager closes itself, because they were never admitted."""

    async def measure_capacity(self) -> None:
        """Ask the head node for the capacity of the cluster. While the head is away, it stays as it was."""
        self._capacity = await self._head.answer() or self._capacity

    async def requests_to_stop(self) -> list[str]:
        """Return waiting requests that are to stop. Raises `StoreUnavailableError`."""
        return await self._queue.stopping(limit=_MAX_STOPPING)

    async def observe(self, *, to_stop: Sequence[str], draining: bool) -> QueueState:
        """Return the state of now. Raises `StoreUnavailableError`.

        Args:
            to_stop: The waiting requests that a plan is to stop.
            draining: Whether nothing may begin.
        """
        processing = await self.processing()
        at_work = {each.request_id for each in processing}
        self._working_since = {each: since for each, since in self._working_since.items() if each in at_work}
        return QueueState(
            now=utc_now(),
            slots=self._capacity.slots,
            max_active=self._max_active or self._capacity.coordinators,
            max_standby=self._capacity.standby_coordinators,
            draining=draining,
            processing=processing,
            candidates=await self._queue.candidates(),
            stopping=to_stop,
            max_stopping=_MAX_STOPPING - len(self.stopping),
            coordinators=self._coordinators.state(),
            demands={each: report.demand for each, report in self._reports.items() if report.demand is not None},
            seconds_at_work={each: self._now() - since for each, since in self._working_since.items()},
            shared_before=self.shared_before,
        )

    async def processing(self) -> list[OpenRequest]:
        """Return the requests that coordinators are to work on. Raises `StoreUnavailableError`."""
        return [each for each in await self._queue.processing() if each.request_id not in self.stopping]

    def take_in(self, reports: Mapping[str, RequestReport]) -> None:
        """Remember the reports of the coordinators that have answered."""
        self._reports = reports
        for request_id, report in reports.items():
            if report.demand is not None:
                self._working_since.setdefault(request_id, self._now())

    async def reaches_head(self) -> bool:
        """Whether the head node answers, or has answered lately. It may be busy."""
        await self._head.answer()
        return self._head.unanswered_seconds < _HEAD_SILENT_SECONDS
