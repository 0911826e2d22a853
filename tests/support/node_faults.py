"""The faults of a node of `tests.support.cluster`, and their repair."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Cluster

FAULT_SECONDS = 10.0


class Fault(NamedTuple):
    """A fault of a node, and its repair."""

    begin: Callable[[Cluster, str], None]
    end: Callable[[Cluster, str], None]

    @contextmanager
    def of(self, cluster: Cluster, node: str) -> Iterator[float]:
        """Keep the fault for the block, and long enough for all to notice. Yield its begin, of `time.monotonic()`."""
        begun = time.monotonic()
        self.begin(cluster, node)
        try:
            yield begun
            wait_until(lambda: time.monotonic() > begun + FAULT_SECONDS, "time passes", timeout_seconds=FAULT_SECONDS)
        finally:
            self.end(cluster, node)


def cut_from(*others: str) -> Fault:
    """Return the fault that the node and these machines do not reach each other."""
    return Fault(
        lambda cluster, node: cluster.network.cut(node, *others),
        lambda cluster, node: cluster.network.heal(node, *others),
    )


def _power_off(cluster: Cluster, node: str) -> None:
    """Cut the node off first: a process that is killed would still say good-bye to its connections."""
    cluster.network.cut(node, *cluster.network.others(node))
    cluster.network.kill(node)


def _power_on(cluster: Cluster, node: str) -> None:
    cluster.network.heal(node, *cluster.network.others(node))
    cluster.start(node)


DEATH = Fault(_power_off, _power_on)
