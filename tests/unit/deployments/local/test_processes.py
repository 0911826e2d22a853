from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from deployments.local import processes
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deployments.local.processes import ProcessId

    Spawn = Callable[[str], ProcessId]

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {SLEEP}"
PARENT = (
    "import subprocess, sys\n"
    "children = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)"
    " for _ in range(2)]\n"
    f"print('up', flush=True); {SLEEP}"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def spawn(tmp_path: Path, log: Path) -> Iterator[Spawn]:
    started: list[ProcessId] = []

    def start(code: str) -> ProcessId:
        process = processes.spawn([sys.executable, "-c", code], environment=os.environ, log_file=log)
        started.append(process)
        return process

    yield start
    for process in started:
        processes.stop_tree(process, tmp_path, grace_seconds=0)


def is_up(log: Path) -> Callable[[], bool]:
    return lambda: "up" in log.read_text()


def test_the_output_goes_to_the_log_and_the_exit_code_comes_back(spawn: Spawn, log: Path) -> None:
    process = spawn("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    codes: list[int] = []

    def has_ended() -> bool:
        code = processes.reap(process)
        codes.extend([] if code is None else [code])
        return bool(codes)

    wait_until(has_ended, "the process ends")
    assert codes == [7]
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert not processes.is_alive(process)


def test_it_runs_in_a_session_of_its_own(spawn: Spawn) -> None:
    process = spawn(SLEEP)
    assert os.getsid(process.pid) == process.pid


def test_a_process_with_the_same_pid_is_not_taken_for_the_one_that_was_started(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn(SLEEP)
    later = process.model_copy(update={"started_ticks": process.started_ticks + 1})
    rebooted = process.model_copy(update={"boot_id": "another"})
    for impostor in (later, rebooted):
        assert not processes.is_alive(impostor)
        processes.send([impostor], signal.SIGKILL)
        assert processes.process_tree(impostor, tmp_path) == []
        processes.stop_tree(impostor, tmp_path, grace_seconds=0)
    assert processes.is_alive(process)


def test_one_that_was_killed_is_dead_before_it_is_reaped(spawn: Spawn) -> None:
    process = spawn(SLEEP)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(process), "the process is dead")


def test_children_in_their_own_groups_belong_to_the_family(spawn: Spawn, log: Path, tmp_path: Path) -> None:
    process = spawn(PARENT)
    wait_until(is_up(log), "the children are there")
    family = processes.process_tree(process, tmp_path)
    assert len(family) == 3
    processes.stop_tree(process, tmp_path, grace_seconds=2)
    assert not [member for member in family if processes.is_alive(member)]


def test_orphans_that_write_into_the_folder_are_found_without_their_leader(
    spawn: Spawn, log: Path, tmp_path: Path
) -> None:
    process = spawn(PARENT)
    wait_until(is_up(log), "the children are there")
    family = processes.process_tree(process, tmp_path)
    processes.send([process], signal.SIGKILL)
    processes.wait_gone([process], timeout_seconds=5)
    orphans = processes.process_tree(process, tmp_path)
    assert len(orphans) == 2
    assert processes.process_tree(process, tmp_path / "elsewhere") == []
    processes.stop_tree(process, tmp_path, grace_seconds=2)
    assert not [member for member in family if processes.is_alive(member)]


def test_one_that_does_not_heed_is_killed(spawn: Spawn, log: Path, tmp_path: Path) -> None:
    process = spawn(STUBBORN)
    wait_until(is_up(log), "the signal is ignored")
    processes.stop_tree(process, tmp_path, grace_seconds=0.2)
    assert not processes.is_alive(process)


def test_the_process_that_listens_on_a_port_is_told_apart(spawn: Spawn, log: Path) -> None:
    process = spawn(
        "import socket, time\nlistener = socket.create_server(('127.0.0.1', 0))\n"
        "print('port', listener.getsockname()[1], 'up', flush=True); time.sleep(600)"
    )
    wait_until(is_up(log), "it listens")
    port = int(log.read_text().split()[1])
    bystander = spawn(SLEEP)
    assert processes.listens([bystander, process], port)
    assert not processes.listens([bystander], port)
    assert not processes.listens([process], port - 1)


def test_a_program_that_is_not_there_is_an_error(log: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        processes.spawn([str(tmp_path / "nothing")], environment={}, log_file=log)


def test_a_log_that_has_grown_large_is_put_aside(log: Path, spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_MAX_LOG_BYTES", 10)
    log.write_text("x" * 11)
    spawn("print('up')")
    wait_until(is_up(log), "the new log is written")
    assert log.with_suffix(".log.1").read_text() == "x" * 11


def test_the_cpu_time_of_processes_is_counted_with_their_ended_children(spawn: Spawn, log: Path) -> None:
    burn = "deadline = time.process_time() + 0.3\nwhile time.process_time() < deadline: pass\n"
    child = f"import time\n{burn}"
    process = spawn(
        f"import subprocess, sys, time\n{burn}"
        f"subprocess.run([sys.executable, '-c', {child!r}])\nprint('up', flush=True); time.sleep(600)"
    )
    wait_until(is_up(log), "both have worked")
    assert processes.cpu_seconds([process]) >= 0.6
