"""A change of a store's port, because another program took the port while the store was down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import ServerStartError
from deployments.local import processes
from deployments.local.mongod import Mongod
from deployments.local.ray_head import RayHead
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.state import StateFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployments.local.home import Home
    from deployments.local.state import State

_RAY_GRACE_SECONDS = 1.0  # nothing on Ray can work without the store


def stop_ray_on_port_change(home: Home, before: State, numbers: Mapping[str, int], *, ray_is_ours: bool) -> bool:
    """Stop Ray when a store gets another port: everything on Ray knows the old one.

    Args:
        home: The folder.
        before: The state before this start.
        numbers: The new ports, by name.
        ray_is_ours: Whether Ray may be stopped.

    Returns:
        Whether a store gets another port.

    Raises:
        ServerStartError: A store gets another port, and Ray is yours.
    """
    moved = next((each for each in (Mongod, RedisServer, SeaweedFS) if _moves(each.port.name, before, numbers)), None)
    if moved is None:
        return False
    if not ray_is_ours:
        raise ServerStartError(
            moved.name,
            str(home.log_file(moved.name)),
            f"Another process listens on port {before.ports[moved.port.name]}, where your Ray looks for it.",
            "End the process that has its port. Or let `darkroom down` and `darkroom up` tell your Ray a new port.",
        )
    if (started := before.servers.get(RayHead.name)) is not None:
        processes.stop_tree(started.process, home.path, grace_seconds=_RAY_GRACE_SECONDS)
        StateFile(home.state_file).forget_server(RayHead.name)
    return True


def _moves(port: str, before: State, numbers: Mapping[str, int]) -> bool:
    return before.url is not None and port in before.ports and numbers[port] != before.ports[port]
