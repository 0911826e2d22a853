"""Machines that have nothing but ssh, stores beside them, and a checkout from which `ray up` makes a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pymongo import MongoClient

from deployments.local import processes
from deployments.local.grpc_sockets import remove_sockets
from deployments.local.home import Home
from tests.support.api_watch import ApiWatch
from tests.support.cluster import HEAD, NODES, STORES, Cluster, store_ports, store_settings
from tests.support.machines import Machines
from tests.support.network import Network
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
HOSTS = {"head": "head.internal", "worker1": "worker-1.internal", "worker2": "worker-2.internal"}
UP_SECONDS = 300
READY_SECONDS = 120
ON_HEAD = "sh ~/node-env.sh"
_JOINED_SECONDS = 300
# pip builds the source packages of requirements.txt with these.
_BUILDERS = ("setuptools", "wheel", "cffi", "pkgconfig")


@dataclass(frozen=True)
class Site:
    """The machines, the stores beside them, and the operator's checkout."""

    machines: Machines
    stores: Cluster
    checkout: Path

    def run(self, command: str, *, timeout_seconds: float = 60) -> str:
        """Run a documented command in the checkout, or on the head node when it is one of a node."""
        begun = time.monotonic()
        if command.startswith(ON_HEAD):
            told = self.machines.on_node(HEAD, command, timeout_seconds=timeout_seconds)
        else:
            told = self.machines.operator(command, cwd=self.checkout, timeout_seconds=timeout_seconds)
        print(f"{time.monotonic() - begun:6.1f} s  {command}")
        return told

    def url(self, node: str) -> str:
        return self.stores.url(node)

    def status(self) -> str:
        return self.machines.on_node(HEAD, f"{ON_HEAD} ray status")

    def active(self) -> int:
        """Return how many nodes `ray status` counts under `Active`, the head node among them."""
        try:
            found = re.search(r"^Active:\n(.*?)^(?:Idle|Pending):", self.status(), re.MULTILINE | re.DOTALL)
        except AssertionError:  # the head does not answer yet
            return 0
        return sum(int(count) for count in re.findall(r"^ (\d+) ", found[1], re.MULTILINE)) if found else 0

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs of all machines and stores."""
        shutil.copytree(self.stores.home.logs, folder / "stores")
        for node in NODES:
            machine = self.machines.folder / node
            for log in (
                machine / "sshd.log",
                *machine.glob("home/*/ray.log"),
                *machine.glob("tmp/ray/session_2*/logs/*.*"),
            ):
                (folder / node).mkdir(exist_ok=True)
                shutil.copy(log, folder / node)
        print(f"the logs are in {folder}")

    def fill_in(self) -> None:
        """Write the addresses of the stores into `darkroom.env`, and the host into `serve.yaml`, as documented."""
        environment = self.stores.environment
        made_here = {"DARKROOM_HOME", "DARKROOM_SECRET_KEY", "RAY_AUTH_TOKEN"}
        values = {
            name: value
            for name, value in environment.items()
            if value and name.startswith(("DARKROOM_", "AWS_", "RAY_REDIS_ADDRESS")) and name not in made_here
        }
        file = self.checkout / "darkroom.env"
        lines = [line for line in file.read_text().splitlines() if line.split("=")[0] not in values]
        file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")
        serve = self.checkout / "cluster" / "serve.yaml"
        serve.write_text(serve.read_text().replace("host: 127.0.0.1", "host: 0.0.0.0"))

    def fill_wheels(self) -> None:
        """Load what pip will install on the nodes, since no machine reaches a registry."""
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(self.machines.wheels)]
        requirements = str(self.checkout / "dist" / "requirements.txt")
        subprocess.run([*pip, "--no-deps", "--require-hashes", "--requirement", requirements], check=True)
        subprocess.run([*pip, *_BUILDERS], check=True)

    def with_workers(self, workers: Sequence[str]) -> None:
        """Name these workers in `ray-cluster.yaml`, as the document says."""
        file = self.checkout / "ray-cluster.yaml"
        hosts = ", ".join(HOSTS[each] for each in workers)
        text = re.sub(r"worker_ips: .*", f"worker_ips: [{hosts}]", file.read_text())
        file.write_text(re.sub(r"(m(?:in|ax)_workers): .*", rf"\1: {len(workers)}", text))

    def run_for(self, node: str, command: str) -> None:
        """Run a documented command on behalf of a node, whose name it has in place of `worker-3.internal`."""
        self.run(command.replace("worker-3.internal", HOSTS[node]), timeout_seconds=UP_SECONDS)

    def await_nodes(self, count: int) -> None:
        begun = time.monotonic()
        wait_until(lambda: self.active() == count, f"{count} nodes are active", timeout_seconds=_JOINED_SECONDS)
        print(f"{time.monotonic() - begun:6.1f} s until {count} nodes were active\n{self.status()}")

    def await_ready(self) -> None:
        wait_until(lambda: self.is_ready(HEAD), "the head node is ready", timeout_seconds=READY_SECONDS)

    def is_ready(self, node: str) -> bool:
        try:
            return httpx.get(f"{self.url(node)}/readyz", timeout=5, trust_env=False).json()["ready"] is True
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def has_replica(self, node: str) -> bool:
        titles = map(processes.command_line, self.machines.network.pids(node))
        return any(each.startswith("ray::ServeReplica") for each in titles)

    def runs_newer(self, node: str) -> bool:
        """Return whether Ray was started on the node after the newer Darkroom was installed there."""
        home = self.machines.home(node)
        installed = home / "darkroom/lib/python3.11/site-packages/actors/newer.py"
        try:
            return (home / ".unit-pid").stat().st_mtime > installed.stat().st_ctime
        except FileNotFoundError:  # not installed, or its unit is being restarted
            return False

    @contextmanager
    def api_watched(self, token: str, what: str) -> Iterator[None]:
        """Print how long no node gave an answer of the API in the block."""
        with ApiWatch([self.url(node) for node in NODES], "/api/requests?limit=1", token) as watch:
            yield
        print(f"{watch.longest_gap_seconds:6.1f} s without the API at most: {what}")


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run the stores, and switch machines on that have nothing but ssh."""
    home = Home(folder / "stores")
    home.create()
    wheels = folder / "wheels"
    wheels.mkdir()
    with Network.made(STORES, *NODES) as network:
        settings = store_settings(network, home)
        stores = Cluster(network, home, settings, MongoClient(settings.mongo_url, tz_aware=True))
        stores.use_environment()
        machines = Machines(folder, network, HOSTS, wheels)
        machines.prepare()
        try:
            stores.start_stores()
            for node in NODES:
                machines.boot(node)
            yield Site(machines, stores, _checkout_in(folder))
        finally:
            stores.mongo.close()
            machines.off()
            network.kill(STORES)
            remove_sockets(store_ports())


def _checkout_in(folder: Path) -> Path:
    """Return a copy of this checkout, installed already."""
    checkout = folder / "checkout"
    files = subprocess.run(
        [str(shutil.which("git")), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for each in filter(None, files):
        (checkout / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / each, checkout / each)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    return checkout
