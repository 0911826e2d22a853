"""Starts at the same time, of users and containers that know nothing of each other, do not meet."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deployments.local import processes
from deployments.local.mongod import Mongod
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.state import State
from tests.integration.deployments.local.servers import NO_RAY, read_everywhere, write_everywhere
from tests.support import network
from tests.support.network import Network
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deployments.local.stack import RunningStack
    from tests.integration.deployments.local.servers import Servers

    MakeServers = Callable[[str], Servers]

pytestmark = pytest.mark.timeout(180)

STORES = {"mongod", "redis", "seaweedfs"}
ELSEWHERE = """
import sys
from pathlib import Path
from deployments.local import Home
from tests.integration.deployments.local.servers import NO_RAY, Servers, read_everywhere, write_everywhere

servers = Servers(Home(Path(sys.argv[1])))
stack = servers.start(ray_address=NO_RAY)
write_everywhere(stack, "elsewhere")
print("written", flush=True)
sys.stdin.readline()
print(read_everywhere(stack) == [{"elsewhere"}] * 3, flush=True)
servers.stop()
"""


def numbers(servers: Servers) -> set[int]:
    """Return all numbers on which the stores listen."""
    found = State.read(servers.home.state_file).ports
    wanted = [port for server in (Mongod, RedisServer, SeaweedFS) for port in server.listens_on]
    return {number for port in wanted for number in port.span(found[port.name])}


def test_starts_at_once_get_ports_of_their_own(make_servers: MakeServers) -> None:
    both = [make_servers("one"), make_servers("other")]
    with ThreadPoolExecutor(len(both)) as pool:
        stacks: list[RunningStack] = list(pool.map(lambda each: each.start(ray_address=NO_RAY), both))
    assert all(each.seen("ready") == STORES for each in both)
    assert not any(each.seen("failed") for each in both)
    check_apart(both, stacks, "first")


def test_restarts_at_once_get_ports_of_their_own(make_servers: MakeServers) -> None:
    both = [make_servers("one"), make_servers("other")]
    for each in both:
        each.start(ray_address=NO_RAY)
        each.stop()  # the second one takes the ports of the first one, and remembers them, too
    with ThreadPoolExecutor(len(both)) as pool:
        stacks: list[RunningStack] = list(pool.map(lambda each: each.start(ray_address=NO_RAY), both))
    check_apart(both, stacks, "restarted")


def check_apart(both: list[Servers], stacks: list[RunningStack], text: str) -> None:
    one, other = map(numbers, both)
    assert not one & other
    for servers, stack in zip(both, stacks, strict=True):
        write_everywhere(stack, f"{text} in {servers.home.path.parent.name}")
    for servers, stack in zip(both, stacks, strict=True):
        assert read_everywhere(stack) == [{f"{text} in {servers.home.path.parent.name}"}] * 3


@pytest.mark.skipif(not network.is_possible(), reason="network namespaces need root and iproute2")
def test_two_containers_that_share_tmp_do_not_speak_to_each_other(servers: Servers, tmp_path: Path) -> None:
    with elsewhere(tmp_path / "elsewhere" / ".darkroom") as process:
        stack = servers.start(ray_address=NO_RAY)
        write_everywhere(stack, "here")
        processes.send([servers.process("seaweedfs")], signal.SIGKILL)
        wait_until(lambda: stack.dead() == ["seaweedfs"], "SeaweedFS is dead")
        stack = servers.start(ray_address=NO_RAY)
        assert read_everywhere(stack) == [{"here"}] * 3
        servers.stop()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"
        assert process.wait(60) == 0


@contextmanager
def elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run stores on the same ports and with the same /tmp in another network."""
    with Network.made("container") as made:
        command = made.command("container", [sys.executable, "-c", ELSEWHERE, str(folder)])
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4]
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
