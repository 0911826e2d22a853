"""The stall guard ends a worker pool whose batches wait although cores are free.

Ray then starts the pool again, and the coordinators send their batches again. Ray asks a node for a worker without a
time limit. A node that was dead by then may never answer, and meanwhile Ray asks no other node (ray-project/ray,
issue 63405).
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from cluster.aio import Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

_STALL_SECONDS = 10.0  # a dead node is known by then
CHECKS = 8  # in a row, which all find a free core
_MIN_INTERVAL_SECONDS = 1.0  # a busy queue manager takes many steps a second
_MAX_CHECKS = 64
_HEAD_WAIT_SECONDS = 2.0
logger = logging.getLogger("darkroom.stall_guard")


class StallGuard:
    """Finds batches that wait in vain.

    Args:
        free_cores: Asks the head how many cores no task has.
        end_pool: Ends the worker pool, which Ray starts again.
    """

    def __init__(
        self, free_cores: Callable[[], Coroutine[Any, Any, float]], end_pool: Callable[[], Awaitable[None]]
    ) -> None:
        self._free_cores = Question(free_cores, _HEAD_WAIT_SECONDS)
        self._end_pool = end_pool
        self._checked_at = -math.inf  # of the loop's clock
        self._stalls = 0  # checks in a row that found batches waiting beside a free core
        self._wanted = CHECKS

    async def check(self, waiting_seconds: float) -> None:
        """Check how long the oldest batch has waited for a worker.

        While the head is away, free cores are unknown and no other pool could be started.
        """
        now = asyncio.get_running_loop().time()
        if now - self._checked_at < _MIN_INTERVAL_SECONDS:
            return
        self._checked_at = now
        self._stalls = self._stalls + 1 if waiting_seconds > _STALL_SECONDS and await self._is_one_free() else 0
        if self._stalls >= self._wanted:
            logger.error("batches wait for %.0f s beside free cores, so the worker pool is ended", waiting_seconds)
            self._stalls = 0
            # The machine may just be slow, and a pool that starts needs time.
            self._wanted = min(_MAX_CHECKS, 2 * self._wanted)
            await self._end_pool()

    async def _is_one_free(self) -> bool:
        free = await self._free_cores.answer()
        return free is not None and free >= 1
