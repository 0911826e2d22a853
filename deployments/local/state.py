"""The record of started servers in `state.json`, by which another process can adopt or stop them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from deployments.local import processes
from deployments.local.private_files import write_private
from deployments.local.processes import ProcessId

if TYPE_CHECKING:
    from pathlib import Path


class StartedServer(BaseModel):
    """A server that was started, whether it is alive or not."""

    model_config = ConfigDict(frozen=True)

    process: ProcessId
    vital: list[ProcessId] = Field(default_factory=list)
    """The processes of its tree that it cannot do without, though it lives on when they end."""
    environment_digest: str = ""
    """The digest of its own variables. An older version of Darkroom left it empty for the stores."""

    @property
    def is_alive(self) -> bool:
        """Whether it runs, with all that it needs."""
        return all(map(processes.is_alive, [self.process, *self.vital]))


class State(BaseModel):
    """The content of `state.json`."""

    model_config = ConfigDict(frozen=True)

    servers: dict[str, StartedServer] = Field(default_factory=dict)
    ports: dict[str, int] = Field(default_factory=dict)
    """The ports by their names. They are kept after a stop, for the next start."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Your settings as environment variables, with their secrets: so only the owner may read this file."""
    url: str | None = None
    """The URL of the service, or None when it was stopped."""

    @classmethod
    def read(cls, path: Path) -> State:
        """Read the state. It is empty when there is no file.

        Raises:
            ValueError: The file is damaged.
        """
        return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()


class StateFile:
    """The state on disk, for the threads of the one process that holds the folder's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> State:
        """Read the state, as `State.read` does."""
        return State.read(self._path)

    def record_server(self, name: str, server: StartedServer) -> None:
        """Remember a server that was started."""
        with self._lock:
            state = self.read()
            self._write(state.model_copy(update={"servers": {**state.servers, name: server}}))

    def forget_server(self, name: str) -> None:
        """Forget a server that is gone for certain."""
        with self._lock:
            state = self.read()
            servers = {other: server for other, server in state.servers.items() if other != name}
            self._write(state.model_copy(update={"servers": servers}))

    def record_start(self, settings: dict[str, str], ports: dict[str, int], url: str | None) -> None:
        """Remember the settings, the ports and the URL of a start."""
        with self._lock:
            self._write(self.read().model_copy(update={"settings": settings, "ports": ports, "url": url}))

    def forget_url(self) -> None:
        """Forget the URL, because the service is stopped."""
        with self._lock:
            self._write(self.read().model_copy(update={"url": None}))

    def _write(self, state: State) -> None:
        write_private(self._path, state.model_dump_json(indent=2))
