"""The network of the fault tests cuts silently, cuts nothing else, heals, and leaves nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import network
from tests.support.network import DRIVER, Network
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 7000
ECHO = f"""
import socketserver

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)

socketserver.ThreadingTCPServer(("", {PORT}), Echo).serve_forever()
"""
pytestmark = pytest.mark.skipif(not network.is_possible(), reason="network namespaces need root and iproute2")


@pytest.fixture
def net() -> Iterator[Network]:
    with Network.made("one", "two") as made:
        echoes = [subprocess.Popen(made.command(name, [sys.executable, "-c", ECHO])) for name in ("one", "two")]
        wait_until(lambda: reaches(made, "one") and reaches(made, "two"), "both answer")
        yield made
        for name in ("one", "two"):
            made.kill(name)
        for echo in echoes:
            echo.wait()


def connected(net: Network, machine: str) -> socket.socket:
    return socket.create_connection((net.addresses[machine], PORT), timeout=1)


def reaches(net: Network, machine: str) -> bool:
    try:
        connected(net, machine).close()
    except OSError:
        return False
    return True


def test_a_cut_is_silent_and_heals(net: Network) -> None:
    with connected(net, "one") as before:
        net.cut("one", DRIVER)
        before.sendall(b"lost for a while\n")
        with pytest.raises(TimeoutError):
            before.recv(100)
        with pytest.raises(TimeoutError):
            connected(net, "one")
        assert reaches(net, "two")
        net.heal("one", DRIVER)
        before.settimeout(10)
        assert before.recv(100) == b"lost for a while\n"


def test_a_machine_without_power_is_empty_and_nothing_of_a_network_is_left(net: Network) -> None:
    assert net.pids("one")
    net.kill("one")
    assert net.pids("one") == []
    assert reaches(net, "two")
    with Network.made("three") as other:
        assert other.range != net.range
        address = other.addresses[DRIVER]
        assert address in shown()
    assert address not in shown()


def shown() -> str:
    command = ["ip", "-brief", "address"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
