"""`darkroom up` starts again what dies, tells so, and stops all in order at the end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from deployments.local import processes
from deployments.local.home import Home
from deployments.local.state import State
from tests.support.command import up_in_the_foreground
from tests.support.neighbour import neighbour
from tests.support.service import is_ready
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from deployments.local.processes import ProcessId

pytestmark = pytest.mark.timeout(240)


def servers(home: Home) -> dict[str, ProcessId]:
    return {name: started.process for name, started in State.read(home.state_file).servers.items()}


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
            wait_until(lambda: "everything runs again" in log.read_text(), "the supervisor says so", timeout_seconds=90)
        wait_until(lambda: "Everything runs again." in told.read_text(), "`up` says so, too")
        wait_until(lambda: is_ready(home.url), "all is ready", timeout_seconds=60)
        assert State.read(home.state_file).ports["mongod"] != port
        assert servers(home)["ray"] != head  # all that ran on it knew the old port
        everything = [each for leader in servers(home).values() for each in processes.process_tree(leader, home.path)]
    assert "mongod died and is started again" in told.read_text()
    assert told.read_text().count("Everything runs again.") == 1
    assert not any(map(processes.is_alive, everything))
    assert servers(home) == {}
    assert "mongod died" in log.read_text()
    assert "not everything" not in log.read_text()
