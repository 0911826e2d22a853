"""The base of all embedded servers, and the launcher that starts, awaits or adopts one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from cluster.errors import ServerStartError
from deployments.local import processes, remedies
from deployments.local.patience import Patience
from deployments.local.ports import LOOPBACK
from deployments.local.state import StartedServer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deployments.local.claims import Claims
    from deployments.local.home import Home
    from deployments.local.ports import Port
    from deployments.local.processes import ProcessId
    from deployments.local.state import StateFile

READY_POLL_SECONDS = 0.1
ADOPT_WAIT_SECONDS = 10.0
"""How long a running server may take to answer before it is started anew."""

_SHOWN_LINES = 20
_SEARCHED_LINES = 500  # mongod goes on writing after the line that gives the reason
_LINE_BYTES = 800

What = Literal["starting", "adopted", "ready", "failed", "stopping", "stopped"]


@dataclass(frozen=True)
class Event:
    """A step of a server, for a progress line."""

    server: str
    what: What
    seconds: float
    """The seconds since the server's first step."""


class NotReadyError(Exception):
    """A server does not answer as it should yet. The text gives the reason."""


class Server(ABC):
    """One server: its command, and the check that it is ready."""

    name: ClassVar[str]
    ready_timeout_seconds: ClassVar[float] = 60
    """How long the server may take to get ready without much work. It is enough for a slow disk."""
    check_timeout_seconds: ClassVar[float] = 15
    """How long one call of `check` may take."""
    stop_grace_seconds: ClassVar[float] = 20
    """How long the server may take to end by itself before it is killed."""
    port: ClassVar[Port]
    """The port by which the server is used."""
    listens_on: ClassVar[tuple[Port, ...]]
    """All ports that the server listens on."""
    vital: ClassVar[tuple[str, ...]] = ()
    """The programs that the server starts and cannot do without, each by a part of its command line."""
    failures: ClassVar[tuple[type[Exception], ...]]
    """The errors that `check` raises while it is not ready."""

    def __init__(self, home: Home, ports: Mapping[str, int]) -> None:
        self.home = home
        self.ports = ports
        self.host = LOOPBACK
        """The address that the server listens at."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the program and its arguments.

        Raises:
            FileNotFoundError: The program is not installed.
        """

    @abstractmethod
    def check(self) -> None:
        """Set up a new server, and return when it is ready. Until then, raise one of `failures`."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Write the files that it reads at its start."""

    def environment(self) -> dict[str, str]:
        """Return the variables that it needs beside this process's own environment."""
        return {}

    def environment_digest(self) -> str:
        """Return the digest of its own variables. A running server that has others is started anew."""
        return hashlib.sha256(json.dumps(self.environment(), sort_keys=True).encode()).hexdigest()


class Launcher:
    """Brings one server up: adopts the one that runs, or starts it and waits."""

    def __init__(
        self,
        server: Server,
        state: StateFile,
        on_event: Callable[[Event], None],
        cancelled: threading.Event,
        claims: Claims,
    ) -> None:
        self._server = server
        self._state = state
        self._on_event = on_event
        self._cancelled = cancelled
        self._claims = claims
        self.started = False
        """Whether this launcher has started a process."""
        self._begun = time.monotonic()
        self._log = server.home.log_file(server.name)
        self._log_start = self._log.stat().st_size if self._log.exists() else 0

    @property
    def name(self) -> str:
        """The server's name."""
        return self._server.name

    def bring_up(self) -> None:
        """Adopt or start the server, and return when it is ready.

        Raises:
            ServerStartError: It does not get ready.
        """
        server = self._server
        started = self._state.read().servers.get(server.name)
        if started is not None:
            if self._adopt(started):
                self._tell("adopted")
                return
            processes.stop_tree(started.process, server.home.path, grace_seconds=server.stop_grace_seconds)
        self._tell("starting")
        try:
            process = self._start()
            self._await_ready(process)
            self._record(process)
        except ServerStartError:
            self._tell("failed")
            raise
        self._tell("ready")

    def _adopt(self, started: StartedServer) -> bool:
        server = self._server
        if not started.is_alive or started.environment_digest != server.environment_digest():
            return False
        deadline = time.monotonic() + ADOPT_WAIT_SECONDS
        while time.monotonic() < deadline and started.is_alive:
            if self._problem(started.process) is None:
                return True
            self._cancelled.wait(READY_POLL_SECONDS)
        return False

    def _start(self) -> ProcessId:
        server = self._server
        if not all(self._claims.hold(port, server.ports[port.name]) for port in server.listens_on):
            raise ServerStartError(server.name, str(self._log), "Another process has its port.", remedies.PORT_TAKEN)
        try:
            server.prepare()
            process = processes.spawn(
                server.command(),
                environment={**os.environ, **server.environment()},
                log_file=self._log,
                inherited=self._claims.descriptors_of(port.name for port in server.listens_on),
            )
        except FileNotFoundError as error:
            raise ServerStartError(server.name, str(self._log), str(error), remedies.INSTALL) from error
        except OSError as error:
            raise ServerStartError(server.name, str(self._log), str(error), remedies.remedy(1, str(error))) from error
        try:
            self._record(process)
        except BaseException:  # without a record, nothing would stop it
            processes.send([process], signal.SIGKILL)
            raise
        self.started = True
        return process

    def _record(self, process: ProcessId) -> None:
        server = self._server
        family = processes.process_tree(process, server.home.path) if server.vital else []
        vital = [each for each in family if any(part in processes.command_line(each.pid) for part in server.vital)]
        started = StartedServer(process=process, vital=vital, environment_digest=server.environment_digest())
        self._state.record_server(server.name, started)

    def _await_ready(self, process: ProcessId) -> None:
        patience = Patience(self._server.ready_timeout_seconds, time.monotonic())
        while (problem := self._problem(process)) is not None:
            exit_code = processes.reap(process)
            if exit_code is not None or not processes.is_alive(process):
                raise self._failed(1 if exit_code is None else exit_code, problem)
            used = processes.cpu_seconds(processes.process_tree(process, self._server.home.path))
            if patience.is_over(time.monotonic(), used) or self._cancelled.wait(READY_POLL_SECONDS):
                raise self._failed(None, problem)

    def _problem(self, process: ProcessId) -> str | None:
        port = self._server.ports[self._server.port.name]
        if not processes.listens(processes.process_tree(process, self._server.home.path), port):
            return f"it does not listen on port {port}"  # another process may listen there
        try:
            self._server.check()
        except self._server.failures as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _failed(self, exit_code: int | None, problem: str) -> ServerStartError:
        tail = log_tail(self._log, since_byte=self._log_start)
        cause = remedies.remedy(exit_code, log_tail(self._log, since_byte=self._log_start, lines=_SEARCHED_LINES))
        ended = "" if exit_code is None else f"\n(it ended with exit code {exit_code})"
        return ServerStartError(
            self._server.name,
            str(self._log),
            f"{tail or f'(nothing was written; the last check: {problem})'}{ended}",
            cause,
        )

    def _tell(self, what: What) -> None:
        self._on_event(Event(self._server.name, what, time.monotonic() - self._begun))


def log_tail(log_file: Path, *, since_byte: int = 0, lines: int = _SHOWN_LINES) -> str:
    """Return the last lines of a log, as far as they were written after the given byte."""
    if not log_file.exists():
        return ""
    size = log_file.stat().st_size
    with log_file.open("rb") as log:
        log.seek(max(since_byte if since_byte <= size else 0, size - lines * _LINE_BYTES))
        text = log.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
