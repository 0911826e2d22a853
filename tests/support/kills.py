"""Functions that end parts of a running service, and no others, as a crash or a power cut would.

Each returns the moment of the kill, of `time.monotonic()`.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from deployments.local import processes
from deployments.local.state import State
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from deployments.local.processes import ProcessId
    from tests.support.service import Service

RECOVERY_SECONDS = 120
RAYLET, GCS = "/raylet/raylet", "/gcs/gcs_server"


def kill_servers(service: Service, *names: str) -> float:
    """End servers with all their processes."""
    started, at = State.read(service.stack.home.state_file).servers, time.monotonic()
    for name in names:
        processes.send(processes.process_tree(started[name].process, service.stack.home.path), signal.SIGKILL)
    wait_until(lambda: not any(processes.is_alive(started[name].process) for name in names), "they are dead")
    return at


def kill_titled(service: Service, title: str, *, one: bool = False) -> float:
    """End the processes of a class of actors or of a kind of task, or one of them."""
    found: list[ProcessId] = []

    def is_there() -> bool:
        found[:] = service.ray_processes(title)
        return bool(found)

    wait_until(is_there, f"{title} is there, perhaps again", timeout_seconds=RECOVERY_SECONDS)
    processes.send(found[:1] if one else found, signal.SIGKILL)
    return time.monotonic()


def kill_part_of_ray(service: Service, command: str) -> float:
    """End the process of Ray itself that has this in its command line."""
    found: list[ProcessId] = []

    def is_there() -> bool:
        leader = State.read(service.stack.home.state_file).servers["ray"].process
        family = processes.process_tree(leader, service.stack.home.path)
        found[:] = [each for each in family if command in processes.command_line(each.pid)]
        return bool(found)

    wait_until(is_there, f"{command} is there, perhaps again", timeout_seconds=RECOVERY_SECONDS)
    processes.send(found, signal.SIGKILL)
    return time.monotonic()
