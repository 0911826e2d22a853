"""`darkroom up` starts again what dies, tells so, and stops all in order at the end."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from cluster.embedded import processes
from cluster.embedded.home import Home
from cluster.embedded.serve import Serve
from cluster.embedded.service import SERVE_CONFIG, revive
from cluster.embedded.state import State
from cluster.embedded.supervisor import start_supervisor, stop_supervisor
from tests.support.catalogues import catalogue
from tests.support.command import up_in_the_foreground
from tests.support.jobs import finished
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.service import running_service
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.embedded.processes import ProcessId
    from tests.support.service import Service

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this module's own, without a supervisor."""
    with running_service(tmp_path_factory.mktemp("supervision")) as running:
        yield running


def servers(home: Home) -> dict[str, ProcessId]:
    return {name: started.process for name, started in State.read(home.state_file).servers.items()}


def parts_of_ray(home: Home, command: str) -> list[ProcessId]:
    family = processes.family(servers(home)["ray"], home.path)
    return [each for each in family if command in processes.command_line(each.pid)]


def is_ready(home: Home) -> bool:
    try:
        return httpx.get(f"{home.url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.brief
def test_what_dies_is_started_again_until_the_end(tmp_path: Path) -> None:
    home = Home(tmp_path / ".darkroom")
    told = tmp_path / "told"
    with up_in_the_foreground(home.path, told):
        wait_until(lambda: "supervisor" in servers(home), "it is watched")
        store = servers(home)["mongod"]
        processes.send([store], signal.SIGKILL)
        wait_until(lambda: servers(home)["mongod"] != store, "MongoDB is started again")
        wait_until(lambda: "All runs again." in told.read_text(), "it says so")
        wait_until(lambda: is_ready(home), "all is ready", timeout_seconds=60)
        # Its raylet ends without it, and with exit code 0: the head lives on, and is of no use.
        head = servers(home)["ray"]
        processes.send(parts_of_ray(home, "ray::DashboardAgent"), signal.SIGKILL)
        wait_until(lambda: servers(home)["ray"] != head, "Ray is started again", timeout_seconds=60)
        wait_until(lambda: is_ready(home), "all is ready", timeout_seconds=90)
        everything = [each for leader in servers(home).values() for each in processes.family(leader, home.path)]
    assert "mongod died and is started again" in told.read_text()
    assert "ray died and is started again" in told.read_text()
    assert told.read_text().count("All runs again.") == 2
    assert not any(map(processes.is_alive, everything))
    assert servers(home) == {}
    log = home.log_file("supervisor").read_text()
    assert "mongod died" in log


@pytest.mark.long
def test_what_dies_while_something_is_started_again_is_started_again_too(own: Service) -> None:
    home = own.stack.home
    log = home.log_file("supervisor")
    start_supervisor(home)
    try:
        processes.send(parts_of_ray(home, "/gcs/gcs_server"), signal.SIGKILL)
        wait_until(lambda: "darkroom starting" in log.read_text(), "Ray is back", timeout_seconds=60)
        processes.send(parts_of_ray(home, "ray::DashboardAgent"), signal.SIGKILL)
        wait_until(lambda: "not everything could be started" in log.read_text(), "it is noticed", timeout_seconds=30)
        wait_until(lambda: is_ready(home), "all is ready", timeout_seconds=60)
    finally:
        stop_supervisor(home)


def fail_to_deploy(service: Service, folder: Path) -> None:
    """Send applications of which none can start."""
    config = yaml.safe_load(SERVE_CONFIG.read_text())
    for application in config["applications"]:
        application["import_path"] = "deployments.serve:nothing"
    broken = folder / "broken.yaml"
    broken.write_text(yaml.safe_dump(config))
    serve = Serve(service.stack.dashboard_url, service.stack.ray_token)
    serve.deploy(broken, http_host=service.settings.host, http_port=service.stack.http_port, replica_environment={})
    wait_until(lambda: serve.failure() is not None, "they have failed", timeout_seconds=60)


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Another program listens there."""
    with socket.create_server(("127.0.0.1", port)):
        yield


@pytest.mark.brief
def test_a_store_that_comes_back_on_another_port_is_found_by_all(own: Service) -> None:
    home = own.stack.home
    port, head = State.read(home.state_file).ports["mongod"], servers(home)["ray"]
    processes.send([servers(home)["mongod"]], signal.SIGKILL)
    processes.wait_gone([servers(home)["mongod"]], timeout_seconds=10)
    log = home.log_file("supervisor")
    said = log.read_text() if log.exists() else ""
    with taken(port), Origin() as origin, own.client() as darkroom:
        start_supervisor(home)
        try:
            wait_until(lambda: "runs again" in log.read_text().removeprefix(said), "it says so", timeout_seconds=90)
        finally:
            stop_supervisor(home)
        status, _ = finished(darkroom, catalogue([origin.route("/a.jpg", reply(jpeg()))]))
    assert status.counts.completed == 1
    assert State.read(home.state_file).ports["mongod"] != port
    assert servers(home)["ray"] != head
    assert "not everything" not in log.read_text().removeprefix(said)


@pytest.mark.long
def test_a_start_that_has_failed_to_deploy_is_finished_by_the_next_one(own: Service, tmp_path: Path) -> None:
    fail_to_deploy(own, tmp_path)
    assert own.stack.dead() == []
    revive(own.stack.home, lambda _event: None)
    assert is_ready(own.stack.home)
