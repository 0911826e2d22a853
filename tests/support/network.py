"""A network of machines that are network namespaces, whose links can be cut and healed. Needs root and iproute2.

with Network.made("stores", "head", "worker1") as network:
    network.command("head", ["ray", "start", ...])  # of a process there
    network.cut("worker1", "head")  # silently, for both
    network.heal("worker1", "head")
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DRIVER = "driver"
"""The machine of the tests' own process: the namespace in which it runs already."""
NOBODY = "02:00:00:00:de:ad"  # a hardware address that no machine has
RANGES = [f"10.213.{number}" for number in range(256)]

_counter = itertools.count(1)


def is_possible() -> bool:
    """Return whether this process may make networks."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Network:
    """Machines and the driver on one switch.

    A cut makes both sides send to a hardware address that no machine has, so that packets vanish in the network. A
    route that says "blackhole" would tell the sender at once.

    Args:
        prefix: The first three numbers of the network's addresses.
        machines: The names of the machines.
    """

    def __init__(self, prefix: str, machines: Sequence[str]) -> None:
        self._id = f"dkr{os.getpid()}n{next(_counter)}"
        self._switch = f"{self._id}-switch"
        self._machines = machines
        self.addresses = {name: f"{prefix}.{number}" for number, name in enumerate([DRIVER, *machines], start=1)}
        self.range = f"{prefix}.0/24"

    @classmethod
    @contextlib.contextmanager
    def made(cls, *machines: str) -> Iterator[Network]:
        """Make a network for the block. Its machines have nothing but an address and loopback."""
        taken = _ip("-brief", "address") + _ip("route")
        network = cls(next(prefix for prefix in RANGES if f"{prefix}." not in taken), machines)
        try:
            network._make()
            yield network
        finally:
            network._remove()

    def command(self, machine: str, command: Sequence[str]) -> list[str]:
        """Return the command for a process on that machine. Its pid is that of the process that runs the command."""
        if machine == DRIVER:
            return list(command)
        return [str(shutil.which("ip")), "netns", "exec", self._namespace(machine), *command]

    def others(self, machine: str) -> list[str]:
        """Return all machines but one, the driver among them."""
        return [name for name in self.addresses if name != machine]

    def pids(self, machine: str) -> list[int]:
        """Return all processes of a machine."""
        return [int(pid) for pid in _ip("netns", "pids", self._namespace(machine)).split()]

    def kill(self, machine: str) -> None:
        """End all processes of a machine at once."""

        def is_empty() -> bool:
            for pid in self.pids(machine):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.pids(machine)

        wait_until(is_empty, f"{machine} is dead")

    def cut(self, machine: str, *others: str) -> None:
        """Let nothing pass between a machine and some others, in either direction."""
        for other in others:
            for one, two in ((machine, other), (other, machine)):
                self._in(one, "neighbour", "replace", self.addresses[two], "lladdr", NOBODY, "dev", self._device(one))

    def heal(self, machine: str, *others: str) -> None:
        """Let everything pass again."""
        for other in others:
            for one, two in ((machine, other), (other, machine)):
                self._in(one, "neighbour", "del", self.addresses[two], "dev", self._device(one))

    def _make(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for machine in self.addresses:
            self._attach(machine)

    def _attach(self, machine: str) -> None:
        device, port = self._device(machine), f"port{machine}"
        if machine != DRIVER:
            _ip("netns", "add", self._namespace(machine))
            self._in(machine, "link", "set", "lo", "up")
        self._in(machine, "link", "add", device, "type", "veth", "peer", "name", port, "netns", self._switch)
        _ip("-n", self._switch, "link", "set", port, "master", "switch", "up")
        self._in(machine, "address", "add", f"{self.addresses[machine]}/24", "dev", device)
        self._in(machine, "link", "set", device, "up")

    def _remove(self) -> None:
        for machine in self._machines:
            with contextlib.suppress(subprocess.CalledProcessError):  # it was not made
                self.kill(machine)
                _ip("netns", "del", self._namespace(machine))
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self._switch)  # the driver's link ends with its other end
        with contextlib.suppress(subprocess.CalledProcessError):
            self._in(DRIVER, "link", "del", self._device(DRIVER))  # it may be a moment until then

    def _in(self, machine: str, *arguments: str) -> None:
        _ip(*([] if machine == DRIVER else ["-n", self._namespace(machine)]), *arguments)

    def _namespace(self, machine: str) -> str:
        return f"{self._id}-{machine}"

    def _device(self, machine: str) -> str:
        return self._id if machine == DRIVER else "eth0"


def _ip(*arguments: str) -> str:
    command = [str(shutil.which("ip")), *arguments]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout
