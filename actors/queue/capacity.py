"""What the cluster has."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import ray

_COORDINATOR_BYTES = 128 * 1024 * 1024
_MEMORY_PART = 0.1  # of the cluster's, for coordinators
_COORDINATORS_PER_CORE = 4  # each takes about 1% of a core when it has nothing to do
_MIN_COORDINATORS = 4
_MAX_COORDINATORS = 256
_MAX_STANDBY = 8


class Capacity(NamedTuple):
    """The resources that Ray's nodes have in all."""

    slots: float  # tasks that can run at once: cores
    memory_bytes: float

    @classmethod
    async def of_cluster(cls) -> Capacity:
        """What there is now. Asks the head node, which may be away for a while."""
        resources = await asyncio.to_thread(ray.cluster_resources)
        return cls(float(resources.get("CPU", 1)), float(resources.get("memory", 0)))

    @property
    def coordinators(self) -> int:
        """How many there may be, when the operator does not say: each is a process."""
        by_memory = self.memory_bytes * _MEMORY_PART / _COORDINATOR_BYTES
        most = min(by_memory, _COORDINATORS_PER_CORE * self.slots, _MAX_COORDINATORS)
        return max(_MIN_COORDINATORS, int(most))

    @property
    def standby_coordinators(self) -> int:
        """How many there always are: with small requests, one for each core and one whose batch is the next."""
        return min(_MAX_STANDBY, int(self.slots) + 1)
