"""What dies is started again, and what cannot start is tried ever less often."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deployments.local import processes
from deployments.local.supervisor import Supervisor
from tests.integration.deployments.local.houses import NO_RAY
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.deployments.local.houses import House


@contextmanager
def watching(house: House, revive: Callable[[], bool]) -> Iterator[None]:
    stopped = threading.Event()
    watcher = threading.Thread(target=Supervisor(house.home, revive).watch, args=(stopped,), name="watcher")
    watcher.start()
    try:
        yield
    finally:
        stopped.set()
        watcher.join()


def test_a_server_that_dies_is_started_again_and_the_others_are_left_alone(house: House) -> None:
    house.start(ray_address=NO_RAY)
    others = {name: house.process(name) for name in ("mongod", "seaweedfs")}
    killed = house.process("redis")

    def revive() -> bool:
        return not house.start(ray_address=NO_RAY).dead()

    with watching(house, revive):
        processes.send([killed], signal.SIGKILL)
        wait_until(lambda: house.process("redis") != killed, "another has its place")
        wait_until(lambda: "redis" in house.seen("ready"), "it is ready")
    assert {name: house.process(name) for name in others} == others


def test_what_cannot_start_is_tried_ever_less_often(house: House) -> None:
    house.start(ray_address=NO_RAY)
    tries: list[float] = []

    def revive() -> bool:
        tries.append(time.monotonic())
        return False

    with watching(house, revive):
        processes.send([house.process("redis")], signal.SIGKILL)
        wait_until(lambda: len(tries) == 4, "it was tried four times")
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4


def test_it_leaves_when_the_servers_were_stopped(house: House) -> None:
    house.start(ray_address=NO_RAY)
    with watching(house, lambda: False):
        house.stop()
        wait_until(lambda: not any(each.name == "watcher" for each in threading.enumerate()), "it has left")
