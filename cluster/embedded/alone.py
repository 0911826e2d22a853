"""MongoDB and Redis without the service, for a restore."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.embedded import ports
from cluster.embedded.credentials import Credentials
from cluster.embedded.mongod import Mongod
from cluster.embedded.redis_server import RedisServer
from cluster.embedded.server import Launcher
from cluster.embedded.stack import embedded_servers
from cluster.embedded.state import State, StateFile
from cluster.embedded.stopping import stop_servers
from cluster.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.embedded.home import Home
    from cluster.embedded.server import Event
    from cluster.settings import Settings


@contextmanager
def stores_alone(settings: Settings, home: Home, on_event: Callable[[Event], None]) -> Iterator[Settings]:
    """The settings completed by MongoDB and Redis: those that are not named run during the block, and nothing else.

    Nobody else can start or stop the servers of this folder meanwhile.

    Args:
        settings: The operator's.
        home: Where data, logs and keys are.
        on_event: Called at each server's every step.

    Raises:
        BackupError: The service was not stopped, or there is no secret key.
        HomeBusyError: Another process starts or stops the servers of this folder.
        ServerStartError: A server does not get ready.
        OSError: The folder cannot be written.
    """
    settings = _with_secret_key(settings, home)
    home.create()
    with home.locked():
        if State.read(home.state_file).servers:
            raise BackupError(
                "service_not_stopped", f"Darkroom runs in {home.path}, or died there: `darkroom down` first."
            )
        started: list[Launcher] = []
        try:
            with home.one_start_at_a_time():
                complete = _bring_up(settings, home, on_event, started)
            yield complete
        finally:
            stop_servers(home, [launcher.name for launcher in started if launcher.started], on_event)


def _with_secret_key(settings: Settings, home: Home) -> Settings:
    """Never a new one: what a backup holds is encrypted with the one that was."""
    if settings.secret_key.get_secret_value():
        return settings
    if not home.secrets_file.exists():
        detail = (
            "The secret key of the backup is needed: set DARKROOM_SECRET_KEY, or put the secrets.json that was in its "
            f".darkroom/ into {home.path}."
        )
        raise BackupError("other_secret_key", detail)
    return settings.model_copy(update={"secret_key": SecretStr(Credentials.of(home).secret_key)})


def _bring_up(settings: Settings, home: Home, on_event: Callable[[Event], None], started: list[Launcher]) -> Settings:
    state, embedded = StateFile(home), embedded_servers(settings)
    for kind, setting in ((Mongod, "mongo_url"), (RedisServer, "redis_url")):
        if kind.name in embedded:
            server = kind(home, ports.choose((kind.port,), state.read().ports))
            started.append(Launcher(server, state, on_event, threading.Event()))
            started[-1].bring_up()
            settings = settings.model_copy(update={setting: server.url})
    return settings
