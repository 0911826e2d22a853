"""MongoDB and Redis without the service, for a restore."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.errors import BackupError
from deployments.local.claims import Claims
from deployments.local.credentials import Credentials
from deployments.local.mongod import Mongod
from deployments.local.redis_server import RedisServer
from deployments.local.server import Launcher
from deployments.local.shutdown import stop_servers
from deployments.local.stack import embedded_servers
from deployments.local.state import State, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.settings import Settings
    from deployments.local.home import Home
    from deployments.local.server import Event


@contextmanager
def stores_only(settings: Settings, home: Home, on_event: Callable[[Event], None]) -> Iterator[Settings]:
    """Run the embedded MongoDB and Redis for the block, and yield the settings with their URLs.

    A store that the settings name is used and not started. Meanwhile no other process can start or stop the servers of
    this folder.

    Args:
        settings: The settings that you gave.
        home: The folder of data, logs and keys.
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
            detail = f"Darkroom runs in {home.path}, or died there. Run `darkroom down`, then restore again."
            raise BackupError("service_not_stopped", detail)
        started: list[Launcher] = []
        try:
            with Claims() as claims:
                complete = _bring_up(settings, home, on_event, started, claims)
            yield complete
        finally:
            stop_servers(home, [launcher.name for launcher in started if launcher.started], on_event)


def _with_secret_key(settings: Settings, home: Home) -> Settings:
    """Return the settings with the secret key. A new key could not decrypt the secrets in a backup."""
    if settings.secret_key.get_secret_value():
        return settings
    if not home.secrets_file.exists():
        detail = (
            "The secret key of the backup is missing. Set DARKROOM_SECRET_KEY to it, or copy the secrets.json from "
            f"the .darkroom/ of the backup to {home.path}."
        )
        raise BackupError("other_secret_key", detail)
    return settings.model_copy(update={"secret_key": SecretStr(Credentials.of(home).secret_key)})


def _bring_up(
    settings: Settings, home: Home, on_event: Callable[[Event], None], started: list[Launcher], claims: Claims
) -> Settings:
    state, embedded, credentials = StateFile(home.state_file), embedded_servers(settings), Credentials.of(home)
    for kind, setting in ((Mongod, "mongo_url"), (RedisServer, "redis_url")):
        if kind.name in embedded:
            server = kind(home, claims.choose(kind.listens_on, state.read().ports), credentials=credentials)
            started.append(Launcher(server, state, on_event, threading.Event(), claims))
            started[-1].bring_up()
            settings = settings.model_copy(update={setting: server.url})
    return settings
