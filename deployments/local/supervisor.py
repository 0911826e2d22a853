"""`python -m deployments.local.supervisor HOME`: start the servers of `darkroom up` again when they die, with backoff.

Each start runs in a process of its own. The supervisor imports little, because it always runs and should take little
memory.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.telemetry import log_as_json
from deployments.local import processes
from deployments.local.home import Home
from deployments.local.state import StartedServer, State, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable

SUPERVISOR = "supervisor"
"""The supervisor's name in `state.json`."""

_DEATH_POLL_SECONDS = 1.0
_RESTART_POLL_SECONDS = 0.2
_BACKOFF_BASE_SECONDS = 1.0
_BACKOFF_CAP_SECONDS = 60.0
_BACKOFF_RESET_SECONDS = 120.0  # after so long without a death, the backoff begins anew
_DEATH_NOTICE_WAIT_SECONDS = 5.0  # for a restart to see by itself that another server has died
_RESTART_STOP_WAIT_SECONDS = 30.0  # for a restart that is given up, to stop its servers
_SUPERVISOR_STOP_WAIT_SECONDS = _RESTART_STOP_WAIT_SECONDS + 10
_MAX_DOUBLINGS = 10
logger = logging.getLogger("darkroom.supervisor")


def is_supervised(home: Home) -> bool:
    """Return whether a supervisor runs that starts dead servers again."""
    supervisor = State.read(home.state_file).servers.get(SUPERVISOR)
    return supervisor is not None and supervisor.is_alive


def start_supervisor(home: Home) -> None:
    """Start a supervisor for the servers of a folder, unless one runs. `stop_supervisor` ends it.

    Raises:
        HomeBusyError: Another process starts or stops the servers of this folder.
        OSError: The process cannot be started.
    """
    if is_supervised(home):
        return
    with home.locked():
        if not is_supervised(home):
            command = [sys.executable, "-m", "deployments.local.supervisor", str(home.path)]
            process = processes.spawn(command, environment=os.environ, log_file=home.log_file(SUPERVISOR))
            StateFile(home.state_file).record_server(SUPERVISOR, StartedServer(process=process))


def stop_supervisor(home: Home) -> None:
    """Stop the supervisor, and return when it has ended. The servers stay as they are."""
    state = StateFile(home.state_file)
    started = state.read().servers.get(SUPERVISOR)
    if started is None:
        return
    processes.send([started.process], signal.SIGTERM)
    if processes.wait_gone([started.process], timeout_seconds=_SUPERVISOR_STOP_WAIT_SECONDS):
        processes.send([started.process], signal.SIGKILL)
        processes.wait_gone([started.process], timeout_seconds=processes.KILL_WAIT_SECONDS)
    state.forget_server(SUPERVISOR)


class Supervisor:
    """Watches the servers until it is told to stop, or they were stopped.

    Args:
        home: The folder.
        restart: Brings up the dead servers. Returns whether everything runs now.
    """

    def __init__(self, home: Home, restart: Callable[[], bool]) -> None:
        self._home = home
        self._restart = restart
        self._starts = 0  # since the last time that the backoff began anew
        self._latest = 0.0  # the end of the latest restart, of `time.monotonic()`
        self._is_whole = True

    def watch(self, stopped: threading.Event) -> None:
        """Watch until `stopped` is set, or the service was stopped."""
        while not stopped.wait(_DEATH_POLL_SECONDS):
            try:
                if State.read(self._home.state_file).url is None:
                    return
                self._look(stopped)
            except Exception:  # for example a shortage of memory, when the supervisor is needed most
                logger.exception("the supervisor had an error and goes on")

    def _look(self, stopped: threading.Event) -> None:
        dead = _dead(State.read(self._home.state_file))
        if self._is_whole and not dead:
            return
        if time.monotonic() - self._latest > _BACKOFF_RESET_SECONDS:
            self._starts = 0
        pause_seconds = pause_before_start(self._starts)
        logger.warning("%s died, and is started again in %g s", ", ".join(dead) or "something", pause_seconds)
        if stopped.wait(pause_seconds):
            return
        self._starts += 1
        self._is_whole = False
        try:
            self._is_whole = self._restart()
        finally:
            self._latest = time.monotonic()
        logger.warning("everything runs again" if self._is_whole else "not everything could be started")


def pause_before_start(starts: int) -> float:
    """Return the pause after so many starts: none before the first, then 1 s, doubled each time up to a minute."""
    if starts == 0:
        return 0
    doublings = min(starts - 1, _MAX_DOUBLINGS)
    return min(_BACKOFF_CAP_SECONDS, math.ldexp(_BACKOFF_BASE_SECONDS, doublings))


def _dead(state: State) -> list[str]:
    return sorted(name for name, each in state.servers.items() if name != SUPERVISOR and not each.is_alive)


def _restarted(home: Home, stopped: threading.Event) -> bool:
    """Run the restart in a child that ends, so that the servers have no parent. Return whether everything runs.

    The child is given up when another server dies meanwhile and stays dead. It may wait for that server, or have taken
    it for alive.
    """
    child = subprocess.Popen([sys.executable, "-m", "deployments.local.restart", str(home.path)])  # noqa: S603 - our own
    try:
        begun_with = set(_dead(State.read(home.state_file)))
        died_at: dict[str, float] = {}
        while child.poll() is None and not stopped.wait(_RESTART_POLL_SECONDS):
            dead, now = set(_dead(State.read(home.state_file))), time.monotonic()
            begun_with &= dead
            died_at = {name: died_at.get(name, now) for name in dead - begun_with}
            if any(now - at > _DEATH_NOTICE_WAIT_SECONDS for at in died_at.values()):
                break
    finally:
        _end(child)
    return child.returncode == 0


def _end(child: subprocess.Popen[bytes]) -> None:
    for seconds, ask in ((0, child.terminate), (_RESTART_STOP_WAIT_SECONDS, child.kill)):
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            ask()
        else:
            return
    child.wait()


def main() -> None:
    """Watch over the folder that the one argument names, until SIGTERM."""
    log_as_json()
    home, stopped = Home(Path(sys.argv[1])), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    Supervisor(home, lambda: _restarted(home, stopped)).watch(stopped)


if __name__ == "__main__":
    main()
