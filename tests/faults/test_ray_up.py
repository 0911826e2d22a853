"""The commands of operations.md make a cluster of three machines by `ray up`, over ssh."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pymongo import MongoClient

from cluster.client import Darkroom
from deployments.local.grpc_sockets import remove_sockets
from deployments.local.home import Home
from tests.support import machines as machine_support
from tests.support.api_watch import ApiWatch
from tests.support.catalogues import catalogue
from tests.support.cluster import HEAD, NODES, STORES, WORKERS, Cluster, store_ports, store_settings
from tests.support.machines import Machines
from tests.support.network import DRIVER, Network
from tests.support.operations import commands
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
HOSTS = {"head": "head.internal", "worker1": "worker-1.internal", "worker2": "worker-2.internal"}
ON_HEAD = "sh ~/node-env.sh"
# pip builds the source packages of requirements.txt with these.
BUILDERS = ("setuptools", "wheel", "cffi", "pkgconfig")
UP_SECONDS = 300
JOINED_SECONDS = 300
READY_SECONDS = 120
DONE_SECONDS = 60
IMAGES = 8
MISSING = machine_support.what_is_missing()
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]


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


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Not pytest's own folder: the path must be short.
    with tempfile.TemporaryDirectory(prefix="dkr") as folder, running_site(Path(folder)) as running:
        yield running
        if request.session.testsfailed:
            keep_logs(running, tmp_path_factory.mktemp("machines"))


def keep_logs(site: Site, folder: Path) -> None:
    """Copy the logs of all machines and stores."""
    shutil.copytree(site.stores.home.logs, folder / "stores")
    for node in NODES:
        machine = site.machines.folder / node
        for log in (
            machine / "sshd.log",
            *machine.glob("home/*/ray.log"),
            *machine.glob("tmp/ray/session_2*/logs/*.*"),
        ):
            (folder / node).mkdir(exist_ok=True)
            shutil.copy(log, folder / node)
    print(f"the logs are in {folder}")


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
            yield Site(machines, stores, checkout_in(folder))
        finally:
            stores.mongo.close()
            machines.off()
            network.kill(STORES)
            remove_sockets(store_ports())


def checkout_in(folder: Path) -> Path:
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


def fill_in(site: Site) -> None:
    """Write the addresses of the stores into `darkroom.env`, and the host into `serve.yaml`, as the document says."""
    environment = site.stores.environment
    made_here = {"DARKROOM_HOME", "DARKROOM_SECRET_KEY", "RAY_AUTH_TOKEN"}
    values = {
        name: value
        for name, value in environment.items()
        if value and name not in made_here and (name.startswith(("DARKROOM_", "AWS_")) or name == "RAY_REDIS_ADDRESS")
    }
    file = site.checkout / "darkroom.env"
    lines = [line for line in file.read_text().splitlines() if line.split("=")[0] not in values]
    file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")
    serve = site.checkout / "cluster" / "serve.yaml"
    serve.write_text(serve.read_text().replace("host: 127.0.0.1", "host: 0.0.0.0"))


def fill_wheels(site: Site) -> None:
    """Load what pip will install on the nodes, since no machine reaches a registry."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(site.machines.wheels)]
    requirements = ["--no-deps", "--require-hashes", "--requirement", str(site.checkout / "dist" / "requirements.txt")]
    subprocess.run([*pip, *requirements], check=True)
    subprocess.run([*pip, *BUILDERS], check=True)


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    """Make the cluster by the documented commands. Return the API key that the last one prints."""
    for command in commands("Several nodes"):
        if "scp -p darkroom.env" in command:
            fill_in(site)
        if "ray up" in command:
            fill_wheels(site)
            print(site.run(command, timeout_seconds=UP_SECONDS)[-1500:])
            await_nodes(site, len(NODES))
        elif command != "make install":  # the checkout is installed
            told = site.run(command, timeout_seconds=READY_SECONDS)
    return str(re.findall(r"\bdk_\S+", told)[-1])


def await_nodes(site: Site, count: int) -> None:
    begun = time.monotonic()
    wait_until(lambda: site.active() == count, f"{count} nodes are active", timeout_seconds=JOINED_SECONDS)
    print(f"{time.monotonic() - begun:6.1f} s until {count} nodes were active\n{site.status()}")


def test_the_documented_commands_make_a_cluster(site: Site, token: str) -> None:
    await_ready(site)
    for command in commands("See that it works"):
        print(site.machines.on_node(HEAD, command))
    addresses = {site.machines.network.addresses[node] for node in NODES}
    listed = site.machines.on_node(HEAD, f"{ON_HEAD} ray list nodes --format json")
    assert {each["node_ip"] for each in json.loads(listed)} == addresses
    assert_images_are_made(site, token)


def assert_images_are_made(site: Site, token: str) -> None:
    with (
        Origin(host=site.machines.network.addresses[DRIVER]) as origin,
        Darkroom(site.url(HEAD), api_key=token) as darkroom,
    ):
        for number in range(IMAGES):
            origin.route(f"/{number}.jpg", reply(jpeg(seed=number)))
        urls = [f"{origin.url}/{number}.jpg" for number in range(IMAGES)]
        request = darkroom.submit(catalogue(urls)).request_id
        wait_until(
            lambda: darkroom.status(request).status in {"completed", "failed"},
            "it is done",
            timeout_seconds=DONE_SECONDS,
        )
        status = darkroom.status(request)
    assert (status.status, status.counts.failed) == ("completed", 0), status


def with_workers(site: Site, workers: Sequence[str]) -> None:
    """Name these workers in `ray-cluster.yaml`, as the document says."""
    file = site.checkout / "ray-cluster.yaml"
    text = re.sub(r"worker_ips: .*", f"worker_ips: [{', '.join(HOSTS[each] for each in workers)}]", file.read_text())
    file.write_text(re.sub(r"(m(?:in|ax)_workers): .*", rf"\1: {len(workers)}", text))


@contextmanager
def api_watched(site: Site, token: str, what: str) -> Iterator[None]:
    with ApiWatch([site.url(node) for node in NODES], "/api/requests?limit=1", token) as watch:
        yield
    print(f"{watch.longest_gap_seconds:6.1f} s without the API at most: {what}")


def test_a_node_is_removed(site: Site, token: str) -> None:
    with api_watched(site, token, "a node is removed"):
        with_workers(site, WORKERS[:1])
        for command in commands("Remove a node"):
            run_for(site, WORKERS[1], command)
        await_nodes(site, len(NODES) - 1)
        await_ready(site)


def await_ready(site: Site) -> None:
    wait_until(lambda: is_ready(site, HEAD), "the head node is ready", timeout_seconds=READY_SECONDS)


def run_for(site: Site, node: str, command: str) -> None:
    """Run a documented command on behalf of a node, whose name it has in place of `worker-3.internal`."""
    site.run(command.replace("worker-3.internal", HOSTS[node]), timeout_seconds=UP_SECONDS)


def is_ready(site: Site, node: str) -> bool:
    try:
        return httpx.get(f"{site.url(node)}/readyz", timeout=5, trust_env=False).json()["ready"] is True
    except (httpx.HTTPError, ValueError, KeyError):
        return False
