"""How fast the queue drains."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cluster.drain_rate import DrainRate

_SAMPLE_SECONDS = 5.0
_WEIGHT = 0.3  # of the latest sample
logger = logging.getLogger("darkroom.queue_manager")


class DrainMeter:
    """Samples how many images are done, and writes how many that is in a second.

    Args:
        rate: Where it is written.
        clock: Seconds, monotonic.
    """

    def __init__(self, rate: DrainRate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = clock
        self._since = clock()
        self._done = 0
        self._counted: dict[str, int] = {}  # by request
        self._per_second: float | None = None

    async def observe(self, images_done: Mapping[str, int], at_work: Collection[str]) -> None:
        """Take in how many images were done until now.

        Args:
            images_done: Of each request whose coordinator has answered.
            at_work: All requests at work.
        """
        for request_id, count in images_done.items():
            # What was done when a request is first heard of was not done now.
            self._done += max(0, count - self._counted.get(request_id, count))
        known = self._counted | dict(images_done)
        self._counted = {request_id: count for request_id, count in known.items() if request_id in at_work}
        seconds = self._now() - self._since
        if seconds < _SAMPLE_SECONDS:
            return
        latest = self._done / seconds
        before = latest if self._per_second is None else self._per_second
        self._per_second = before + _WEIGHT * (latest - before)
        self._since, self._done = self._now(), 0
        if latest:  # an empty queue says nothing about how fast a full one drains
            try:
                await self._rate.write(self._per_second)
            except StoreUnavailableError as error:
                logger.warning("the drain rate is not written: %s", error)
