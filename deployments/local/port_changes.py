"""A store that cannot have its port again, because a stranger took it while the store was down."""

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

_GRACE_SECONDS = 1.0  # what runs on it cannot work without the store


def stop_ray_on_port_change(home: Home, before: State, numbers: Mapping[str, int], *, ray_is_ours: bool) -> bool:
    """Stop Ray when a store is to have another port: all that runs on Ray knows the old one.

    Args:
        home: The folder.
        before: What was started from it so far.
        numbers: The ports to be, by name.
        ray_is_ours: Whether it may be stopped.

    Returns:
        Whether a store moves.

    Raises:
        ServerStartError: One does, and Ray is the operator's.
    """
    moved = next((each for each in (Mongod, RedisServer, SeaweedFS) if _moves(each.port.name, before, numbers)), None)
    if moved is None:
        return False
    if not ray_is_ours:
        raise ServerStartError(
            moved.name,
            str(home.log_file(moved.name)),
            f"another process listens on port {before.ports[moved.port.name]}, where your Ray looks for it",
            "End that process; or let `darkroom down`, and then `darkroom up`, tell your Ray of another port.",
        )
    if (started := before.servers.get(RayHead.name)) is not None:
        processes.stop_tree(started.process, home.path, grace_seconds=_GRACE_SECONDS)
        StateFile(home.state_file).forget_server(RayHead.name)
    return True


def _moves(port: str, before: State, numbers: Mapping[str, int]) -> bool:
    return before.url is not None and port in before.ports and numbers[port] != before.ports[port]
