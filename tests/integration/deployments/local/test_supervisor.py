"""A server that dies is started again. One that cannot start is tried ever less often."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deployments.local import processes
from deployments.local.supervisor import Supervisor
from tests.integration.deployments.local.servers import NO_RAY
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.deployments.local.servers import Servers


@contextmanager
def watching(servers: Servers, restart: Callable[[], bool]) -> Iterator[None]:
    stopped = threading.Event()
    watcher = threading.Thread(target=Supervisor(servers.home, restart).watch, args=(stopped,), name="watcher")
    watcher.start()
    try:
        yield
    finally:
        stopped.set()
        watcher.join()


def test_a_server_that_dies_is_started_again_and_the_others_are_left_alone(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    others = {name: servers.process(name) for name in ("mongod", "seaweedfs")}
    killed = servers.process("redis")

    def restart() -> bool:
        return not servers.start(ray_address=NO_RAY).dead()

    with watching(servers, restart):
        processes.send([killed], signal.SIGKILL)
        wait_until(lambda: servers.process("redis") != killed, "another has its place")
        wait_until(lambda: "redis" in servers.seen("ready"), "it is ready")
    assert {name: servers.process(name) for name in others} == others


def test_a_server_that_cannot_start_is_tried_ever_less_often(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    tries: list[float] = []

    def restart() -> bool:
        tries.append(time.monotonic())
        return False

    with watching(servers, restart):
        processes.send([servers.process("redis")], signal.SIGKILL)
        wait_until(lambda: len(tries) == 4, "it was tried four times")
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4


def test_it_leaves_when_the_servers_were_stopped(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    with watching(servers, lambda: False):
        servers.stop()
        wait_until(lambda: not any(each.name == "watcher" for each in threading.enumerate()), "it has left")
