"""Stops exactly the servers that were started, by the identity of their processes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deployments.local import processes
from deployments.local.grpc_sockets import remove_sockets
from deployments.local.mongod import Mongod
from deployments.local.ray_head import RayHead
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.server import Event
from deployments.local.state import StateFile
from deployments.local.supervisor import stop_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from deployments.local.home import Home
    from deployments.local.server import Server

_LOCK_WAIT_SECONDS = 10.0  # for an `up` in a terminal that starts a supervisor meanwhile
_STORES: tuple[type[Server], ...] = (SeaweedFS, RedisServer, Mongod)


def stop_all(home: Home, on_event: Callable[[Event], None]) -> None:
    """Stop everything that was started from this folder: Ray first, then the stores. Return when all is gone.

    Raises:
        HomeBusyError: Another process starts or stops the servers of this folder.
        ValueError: `state.json` is damaged.
    """
    if not home.state_file.exists():
        return
    stop_supervisor(home)
    with home.locked(wait_seconds=_LOCK_WAIT_SECONDS):
        StateFile(home.state_file).forget_url()  # first, so that no supervisor starts the servers again
        stop_supervisor(home)  # an `up` may have started another one
        stop_servers(home, [RayHead.name, *(store.name for store in _STORES)], on_event)
        home.remove_link()


def stop_servers(home: Home, names: Collection[str], on_event: Callable[[Event], None]) -> None:
    """Stop some of the servers. The caller holds the folder's lock."""
    state = StateFile(home.state_file)  # one for all threads, because it holds their lock
    if RayHead.name in names:
        _stop_one(home, state, RayHead, on_event)
    stores = [store for store in _STORES if store.name in names]
    with ThreadPoolExecutor(max_workers=len(_STORES)) as pool:
        list(pool.map(lambda store: _stop_one(home, state, store, on_event), stores))
    if SeaweedFS.name in names:
        remove_sockets(state.read().ports)


def _stop_one(home: Home, state: StateFile, server: type[Server], on_event: Callable[[Event], None]) -> None:
    started = state.read().servers.get(server.name)
    if started is None:
        return
    begun = time.monotonic()
    on_event(Event(server.name, "stopping", 0))
    processes.stop_tree(started.process, home.path, grace_seconds=server.stop_grace_seconds)
    state.forget_server(server.name)
    on_event(Event(server.name, "stopped", time.monotonic() - begun))
