"""The cores and the memory of the nodes, as the head node tells them.

A node that drains (`ray drain-node`) takes no new task, and Ray goes on to count its cores. They are left out here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ray._private.state import available_resources_per_node, state, total_resources_per_node

from actors.queue.capacity import Capacity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Resources = Mapping[str, float]


async def capacity() -> Capacity:
    """Return the resources of all nodes that take tasks. Without a core it has one slot, for the next node."""
    nodes = await asyncio.to_thread(_taking_tasks, total_resources_per_node)
    return Capacity(_sum("CPU", nodes) or 1, _sum("memory", nodes))


async def free_cores() -> float:
    """Return how many cores have no task and may get one."""
    return _sum("CPU", await asyncio.to_thread(_taking_tasks, available_resources_per_node))


def _taking_tasks(resources_per_node: Callable[[], Mapping[str, Resources]]) -> list[Resources]:
    draining = state.get_draining_nodes()
    return [resources for node, resources in resources_per_node().items() if node not in draining]


def _sum(name: str, nodes: list[Resources]) -> float:
    return float(sum(resources.get(name, 0) for resources in nodes))
