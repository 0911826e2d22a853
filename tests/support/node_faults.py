"""What happens to a node of `tests.support.cluster`, and how it is mended."""

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
    """Something that happens to a node, and how it is mended."""

    begin: Callable[[Cluster, str], None]
    end: Callable[[Cluster, str], None]

    @contextmanager
    def of(self, cluster: Cluster, node: str) -> Iterator[float]:
        """It lasts for the block, and long enough for all to notice; yields when it began, of `time.monotonic()`."""
        begun = time.monotonic()
        self.begin(cluster, node)
        try:
            yield begun
            wait_until(lambda: time.monotonic() > begun + FAULT_SECONDS, "time passes", timeout_seconds=FAULT_SECONDS)
        finally:
            self.end(cluster, node)


def cut_from(*others: str) -> Fault:
    """The node does not reach these machines, nor they it."""
    return Fault(
        lambda cluster, node: cluster.network.cut(node, *others),
        lambda cluster, node: cluster.network.heal(node, *others),
    )


def _power_off(cluster: Cluster, node: str) -> None:
    """Nobody hears of it: a process that is killed would still say good-bye to all it was connected with."""
    cluster.network.cut(node, *cluster.network.others(node))
    cluster.network.kill(node)


def _power_on(cluster: Cluster, node: str) -> None:
    cluster.network.heal(node, *cluster.network.others(node))
    cluster.start(node)


DEATH = Fault(_power_off, _power_on)
