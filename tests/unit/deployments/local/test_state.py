from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from deployments.local import Home
from deployments.local.processes import ProcessId
from deployments.local.state import StartedServer, State, StateFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    home = Home(tmp_path)
    home.create()
    return StateFile(home.state_file)


def server(pid: int) -> StartedServer:
    return StartedServer(process=ProcessId(pid=pid, started_ticks=pid * 10, boot_id="boot"))


def test_without_a_file_nothing_was_started(state: StateFile) -> None:
    assert state.read() == State()


def test_everything_comes_back(state: StateFile) -> None:
    state.record_server("redis", server(1))
    state.record_server("mongod", server(2))
    state.record_server("redis", server(3))
    state.record_start({}, {"redis": 6379}, "http://127.0.0.1:8000")
    expected = {"redis": server(3), "mongod": server(2)}
    assert state.read() == State(servers=expected, ports={"redis": 6379}, url="http://127.0.0.1:8000")


def test_a_stopped_server_is_forgotten_and_its_port_kept(state: StateFile) -> None:
    state.record_server("redis", server(1))
    state.record_start({}, {"redis": 6379}, "http://127.0.0.1:8000")
    state.forget_server("redis")
    state.forget_url()
    assert state.read() == State(ports={"redis": 6379})


def test_threads_do_not_lose_each_others_entries(state: StateFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pid: state.record_server(f"server-{pid}", server(pid)), range(1, 41)))
    assert len(state.read().servers) == 40


def test_a_file_that_was_damaged_is_an_error(tmp_path: Path, state: StateFile) -> None:
    (tmp_path / "state.json").write_text('{"servers": {"redis": 1}}')
    with pytest.raises(ValidationError):
        state.read()
