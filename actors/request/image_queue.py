"""The images of a request that were read and are in no task, in the order in which they may be done."""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import deque
from typing import TYPE_CHECKING

from cluster.http.url import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.messages import WorkItem
    from actors.request.retry_policy import Next

_MAX_WAITING = 10_000  # images that are not due yet; past that, no new ones are read
_MAX_PAUSED_PART = 0.5  # of them, for images whose hosts are paused; past that, these are passed over
_INDEX_BITS = 20


class ImageQueue:
    """Images that can be done now, and images that wait for another attempt or for their hosts.

    Its memory is bounded: `max_waiting` images that wait, and 8 bytes for each image that was passed over because its
    host is paused.

    Args:
        clock: Seconds, monotonic.
        max_waiting: The number of waiting images past which no new ones are read.
    """

    def __init__(self, clock: Callable[[], float], *, max_waiting: int = _MAX_WAITING) -> None:
        self._clock = clock
        self._max_waiting = max_waiting
        self._ready: deque[WorkItem] = deque()
        self._ready_io_bound: deque[WorkItem] = deque()
        self._waiting: list[tuple[float, int, WorkItem]] = []
        self._order = itertools.count()
        self._paused_hosts: dict[str, float] = {}  # until when
        self.passed_over = array("Q")
        """The places of images that were passed over. The feed reads them again at the end."""

    def __bool__(self) -> bool:
        return bool(self._ready or self._ready_io_bound or self._waiting or self.passed_over)

    @property
    def ready(self) -> int:
        """The number of images that can be done now, in a task slot."""
        self._move_due()
        return len(self._ready)

    @property
    def ready_io_bound(self) -> int:
        """The number of images that can be done now, by a task that waits for their sources."""
        self._move_due()
        return len(self._ready_io_bound)

    @property
    def seconds_to_next(self) -> float | None:
        """The time until the next waiting image is due, or None when none waits."""
        return max(0.0, self._waiting[0][0] - self._clock()) if self._waiting else None

    @property
    def has_room(self) -> bool:
        """Whether new images may be read."""
        return len(self._waiting) + len(self._ready_io_bound) < self._max_waiting

    @property
    def may_read_passed_over(self) -> bool:
        """Whether images were passed over, and there is room for them to wait for their hosts."""
        return bool(self.passed_over) and self._has_room_for_paused

    @property
    def _has_room_for_paused(self) -> bool:
        return len(self._waiting) < _MAX_PAUSED_PART * self._max_waiting

    def add(self, items: Iterable[WorkItem]) -> None:
        """Add images that were read, after all others."""
        self._ready.extend(items)

    def put_back(self, items: Iterable[WorkItem]) -> None:
        """Add images that were not done after all, before all others."""
        for item in reversed(list(items)):
            (self._ready_io_bound if item.is_io_bound else self._ready).appendleft(item)

    def apply(self, step: Next) -> None:
        """Take in the next step of images that have come back, but for those that have failed."""
        for url, seconds in step.paused_hosts:
            self._paused_hosts[host_of(url)] = self._clock() + seconds
        for item, seconds in step.delayed:
            self._wait_until(self._clock() + seconds, item)
        self.put_back(step.put_back)

    def take(self, limit: int) -> tuple[WorkItem, ...]:
        """Return the next images for a task slot. All have the same `batch_limit`, and are not more than it says."""
        return self._take(self._ready, limit)

    def take_io_bound(self, limit: int) -> tuple[WorkItem, ...]:
        """Return the next images for a task that waits for their sources, by the same rule."""
        return self._take(self._ready_io_bound, limit)

    def _take(self, queue: deque[WorkItem], limit: int) -> tuple[WorkItem, ...]:
        self._move_due()
        self._paused_hosts = {host: until for host, until in self._paused_hosts.items() if until > self._clock()}
        taken: list[WorkItem] = []
        while queue and len(taken) < limit:
            if taken and taken[0].batch_limit != queue[0].batch_limit:
                break
            item = queue.popleft()
            until = self._paused_hosts.get(host_of(item.url)) if self._paused_hosts else None
            if until is None:
                taken.append(item)
                limit = min(limit, item.batch_limit or limit)
            elif item.batch_limit is None and not self._has_room_for_paused:
                self.passed_over.append(place_of(item))
            else:
                self._wait_until(until, item)
        return tuple(taken)

    def _wait_until(self, moment: float, item: WorkItem) -> None:
        heapq.heappush(self._waiting, (moment, next(self._order), item))

    def _move_due(self) -> None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            item = heapq.heappop(self._waiting)[2]
            (self._ready_io_bound if item.is_io_bound else self._ready).append(item)


def place_of(item: WorkItem) -> int:
    """Return the place of an image in its request as one number."""
    return item.row << _INDEX_BITS | item.index


def row_of(place: int) -> int:
    """Return the row of a place."""
    return place >> _INDEX_BITS
