"""Machines that are reached by ssh: namespaces of the network, of mounts and of processes, each with its own home.

machines = Machines(folder, network, {"head": "head.internal"}, wheels)
machines.prepare()
machines.boot("head")
machines.on_node("head", "uptime")  # by ssh, from the operator's machine

Debian's sshd runs on each of them. `systemctl` and `loginctl` are stand-ins (`tests/support/machine`). The user
`darkroom` has the rights of root, because a mount needs them. No machine reaches a registry, so pip takes wheels from a
folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import network as networks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.network import Network

FILES = Path(__file__).with_name("machine")
USER = "darkroom"
_PROGRAMS = ("/usr/sbin/sshd", "ssh-copy-id", "rsync", "unshare", "pgrep")
# The operator's machine has the registry, the checkout and /tmp of this one.
_OPERATOR = """
mount --bind "$1/etc/passwd" /etc/passwd && mount --bind "$1/etc/hosts" /etc/hosts && mount --bind "$1/home" /home
exec /bin/bash -c "$2"
"""


def what_is_missing() -> str:
    """Return why these machines cannot be made, or nothing."""
    if not networks.is_possible():
        return "network namespaces need root and iproute2"
    missing = [each for each in _PROGRAMS if not shutil.which(each)]
    return f"apt install openssh-server openssh-client rsync procps, for {', '.join(missing)}" if missing else ""


@dataclass
class Machines:
    """Nodes that take ssh, and the machine of their operator.

    Args:
        folder: The folder for all files of the machines.
        network: The network. It has a machine for each node.
        hosts: The host names, by machine.
        wheels: The folder from which pip installs.
    """

    folder: Path
    network: Network
    hosts: Mapping[str, str]
    wheels: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the files of all machines. Every node takes the key that the operator has from the start."""
        home = self._make("operator")
        keys = home / ".ssh"
        self._key(keys / "id_ed25519")
        (keys / "config").write_text("StrictHostKeyChecking accept-new\nLogLevel ERROR\n")
        for machine in self.hosts:
            self._install(machine)
            self._key(self.home(machine).parent / "ssh_host_key")

    def boot(self, machine: str) -> None:
        """Switch a machine on, and return at once."""
        spaces = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        command = [*spaces, "/bin/sh", str(FILES / "boot.sh"), machine, str(self.folder / machine)]
        log = self.folder / machine / "sshd.log"
        with log.open("ab") as output:
            self._running[machine] = subprocess.Popen(
                self.network.command(machine, command), stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def power_off(self, machine: str) -> None:
        """End all processes of a machine at once."""
        self.network.kill(machine)
        self._running.pop(machine).wait()

    def reinstall(self, machine: str) -> None:
        """Switch a machine off, make it anew with the same address and host key, and switch it on."""
        self.power_off(machine)
        for name in (f"home/{USER}", "etc", "tmp"):
            shutil.rmtree(self.folder / machine / name)
        (self.folder / machine / "wheels").unlink()
        self._install(machine)
        self.boot(machine)

    def off(self) -> None:
        """Switch all machines off."""
        for machine in list(self._running):
            self.power_off(machine)

    def operator(self, command: str, *, cwd: Path, timeout_seconds: float = 60) -> str:
        """Run a command on the operator's machine. Return its output."""
        folder = self.folder / "operator"
        environment = {
            "HOME": f"/home/{USER}",
            "USER": USER,
            "PATH": os.environ["PATH"],
            "RAY_TMPDIR": str(folder),
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))},
        }
        done = subprocess.run(
            [str(shutil.which("unshare")), "--mount", "/bin/bash", "-c", _OPERATOR, "operator", str(folder), command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def on_node(self, machine: str, command: str, *, timeout_seconds: float = 60) -> str:
        """Run a command in a login shell of a node, by ssh. Return its output."""
        shell = f"ssh {USER}@{self.hosts[machine]} bash --login <<'END'\n{command}\nEND"
        return self.operator(shell, cwd=self.folder, timeout_seconds=timeout_seconds)

    def home(self, machine: str) -> Path:
        """Return the home of the user, as the test sees it."""
        return self.folder / machine / "home" / USER

    def _install(self, machine: str) -> None:
        """Make the files of a node that has nothing but ssh."""
        node = self._make(machine)
        key = self.home("operator") / ".ssh" / "id_ed25519.pub"
        (node / ".ssh" / "authorized_keys").write_text(key.read_text())
        python = Path(sys.base_prefix) / "bin"
        for profile in (".bashrc", ".profile"):
            (node / profile).write_text((FILES / "profile").read_text().replace("@PYTHON@", str(python)))
        (node / "bin").mkdir()
        for program in ("systemctl", "unit"):
            shutil.copy(FILES / program, node / "bin")
        (node / "bin" / "loginctl").symlink_to("/bin/true")
        shutil.copy(FILES / "sshd_config", node.parent)

    def _make(self, machine: str) -> Path:
        home = self.home(machine)
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        for name in ("etc", "tmp"):
            (home.parents[1] / name).mkdir()
        (home.parents[1] / "wheels").symlink_to(self.wheels)
        # The name of the user with the rights of root is the first one.
        users = Path("/etc/passwd").read_text()
        (home.parents[1] / "etc" / "passwd").write_text(f"{USER}:x:0:0::/home/{USER}:/bin/bash\n{users}")
        names = "".join(f"{self.network.addresses[each]} {name}\n" for each, name in self.hosts.items())
        (home.parents[1] / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        return home

    def _key(self, file: Path) -> None:
        command = [str(shutil.which("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
