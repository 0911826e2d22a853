"""The capacity of the cluster, and the number of coordinators that it can carry: pure arithmetic."""

from __future__ import annotations

from typing import NamedTuple

_COORDINATOR_BYTES = 128 * 1024 * 1024
_MEMORY_PART = 0.1  # of the cluster's memory is for coordinators
_COORDINATORS_PER_CORE = 4  # each takes about 1% of a core when it has nothing to do
_MIN_COORDINATORS = 4
_MAX_COORDINATORS = 256
_MAX_STANDBY = 8


class Capacity(NamedTuple):
    """The resources of all nodes together."""

    slots: float  # task slots: the number of tasks that can run at the same time, one on each core
    memory_bytes: float

    @property
    def coordinators(self) -> int:
        """The number of coordinators when the settings name none. Each is a process."""
        by_memory = self.memory_bytes * _MEMORY_PART / _COORDINATOR_BYTES
        most = min(by_memory, _COORDINATORS_PER_CORE * self.slots, _MAX_COORDINATORS)
        return max(_MIN_COORDINATORS, int(most))

    @property
    def standby_coordinators(self) -> int:
        """The number of coordinators that always stand by.

        With small requests that is one for each core, and one whose batch is the next.
        """
        return min(_MAX_STANDBY, int(self.slots) + 1)
