"""`darkroom up` starts again what dies, tells so, and stops all in order at the end."""

from __future__ import annotations

import signal
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
from tests.support.command import up_in_the_foreground
from tests.support.neighbour import neighbour
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
        store, head, port = servers(home)["mongod"], servers(home)["ray"], State.read(home.state_file).ports["mongod"]
        processes.send([store], signal.SIGKILL)
        with neighbour(port):
            wait_until(lambda: servers(home)["mongod"] != store, "MongoDB is started again")
            log = home.log_file("supervisor")
            wait_until(lambda: "all runs again" in log.read_text(), "the supervisor says so", timeout_seconds=90)
        wait_until(lambda: "All runs again." in told.read_text(), "`up` says so, too")
        wait_until(lambda: is_ready(home), "all is ready", timeout_seconds=60)
        assert State.read(home.state_file).ports["mongod"] != port
        assert servers(home)["ray"] != head  # all that ran on it knew the old port
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
    first, _, _ = log.read_text().partition("ray died")
    assert "mongod died" in first
    assert "all runs again" in first
    assert "not everything" not in first


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


@pytest.mark.long
def test_a_start_that_has_failed_to_deploy_is_finished_by_the_next_one(own: Service, tmp_path: Path) -> None:
    fail_to_deploy(own, tmp_path)
    assert own.stack.dead() == []
    revive(own.stack.home, lambda _event: None)
    assert is_ready(own.stack.home)
