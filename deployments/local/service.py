"""The whole of Darkroom on one machine: the servers, the applications on them, and the first API key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from cluster.errors import HomeBusyError, ServerStartError
from cluster.mongo.api_keys import ApiKeyStore, new_key
from cluster.mongo.connection import Database
from cluster.records import Scope
from deployments.local.environment import changed_settings, settings_from, without_settings
from deployments.local.mongod import Mongod
from deployments.local.named_stores import check_named_stores
from deployments.local.private_files import write_private
from deployments.local.ray_head import RayHead
from deployments.local.serve_client import ServeClient
from deployments.local.server import Event, log_tail
from deployments.local.shutdown import stop_all
from deployments.local.stack import check_port, start_servers, started_stack
from deployments.local.state import State
from deployments.local.supervisor import stop_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.settings import Settings
    from deployments.local.home import Home
    from deployments.local.stack import RunningStack

SERVE_CONFIG = Path(str(files("cluster").joinpath("serve.yaml")))
READY_WAIT_SECONDS = 300.0  # the machine may be busy with other starts
DRAIN_WAIT_SECONDS = 30.0
APPLICATIONS = "darkroom"
_SERVE_SHUTDOWN_TIMEOUT_SECONDS = 60.0
_DRAIN_START_WAIT_SECONDS = 30.0  # the start of its driver, on a busy machine
_FIRST_KEY = "first key"


def bring_up(settings: Settings, home: Home, on_event: Callable[[Event], None]) -> RunningStack:
    """Start the servers that do not run yet, deploy the applications, and return when the service is ready.

    Args:
        settings: The settings that you gave.
        home: The folder of data, logs and keys.
        on_event: Called from several threads, at every step.

    Raises:
        ServerStartError: A server or an application does not get ready.
        NamedStoreError: A store that you named does not answer, or cannot serve.
        HomeBusyError: Another process starts or stops the servers of this folder.
    """
    asyncio.run(check_named_stores(settings))
    check_port(settings, home)
    before = started_stack(home)
    if before is not None and changed_settings(State.read(home.state_file).settings, settings):
        _drain(before, on_event)  # Ray is started anew, with the new settings
    try:
        stack = start_servers(settings, home, on_event)
        begun = time.monotonic()
        on_event(Event(APPLICATIONS, "starting", 0))
        _deploy(stack)
        asyncio.run(_ensure_first_key(stack.settings, stack.home))
        _await_ready(stack, begun, on_event)
    except HomeBusyError:
        raise
    except BaseException:  # after an interrupt, too, nothing new is left running
        if before is None:
            stop_all(home, on_event)
        raise
    return stack


def restart_dead(home: Home, on_event: Callable[[Event], None]) -> None:
    """Start again the servers of `bring_up` that have died, with the settings of then, and touch nothing else.

    When another program has the port of a store, the store takes a new one. Then Ray is started anew, too.

    Raises:
        ServerStartError: A server or an application does not get ready.
        HomeBusyError: Another process starts or stops the servers of this folder.
    """
    before = started_stack(home)
    if before is None:
        return
    was = State.read(home.state_file)
    settings = settings_from(was.settings)
    stack = start_servers(settings, home, on_event, assume_running=before.embedded - set(before.dead()))
    begun = time.monotonic()
    # An earlier start may have brought up Ray and then failed to deploy, or been given up meanwhile.
    has_new_ray = State.read(home.state_file).servers.get(RayHead.name) != was.servers.get(RayHead.name)
    if stack.ray_is_ours and (has_new_ray or not _serve(stack).is_deployed()):
        on_event(Event(APPLICATIONS, "starting", 0))
        _deploy(stack)
        _await_ready(stack, begun, on_event)


def _await_ready(stack: RunningStack, begun: float, on_event: Callable[[Event], None]) -> None:
    _serve(stack).await_ready(stack.url, timeout_seconds=READY_WAIT_SECONDS)
    on_event(Event(APPLICATIONS, "ready", time.monotonic() - begun))


def _deploy(stack: RunningStack) -> None:
    """Send the applications."""
    serve = _serve(stack)
    if serve.failure() is not None:  # since an earlier start: Serve tries the same applications once
        serve.shutdown(timeout_seconds=_SERVE_SHUTDOWN_TIMEOUT_SECONDS)
    serve.deploy(
        SERVE_CONFIG,
        http_host=stack.settings.host,
        http_port=stack.http_port,
        replica_environment=stack.replica_environment,
    )


def _serve(stack: RunningStack) -> ServeClient:
    def check() -> None:
        if dead := stack.dead():
            log = str(stack.home.log_file(dead[0]))
            raise ServerStartError(
                dead[0], log, log_tail(stack.home.log_file(dead[0])), "It has died since its start. See its log."
            )

    return ServeClient(stack.dashboard_url, stack.ray_token, check=check)


def take_down(home: Home, on_event: Callable[[Event], None]) -> None:
    """Let running work finish, begin nothing more, and stop exactly the servers that `bring_up` started.

    Raises:
        HomeBusyError: Another process starts or stops the servers of this folder.
    """
    try:
        stop_supervisor(home)  # first, since actors that have been drained look dead to it
        stack = started_stack(home)
        if stack is not None:
            _drain(stack, on_event)
    finally:  # also when you interrupt the drain
        stop_all(home, on_event)


def _drain(stack: RunningStack, on_event: Callable[[Event], None]) -> None:
    """Drain as far as possible. Work that cannot be drained is done again after the next start."""
    if {RayHead.name, Mongod.name} & set(stack.dead()):
        return
    begun = time.monotonic()
    on_event(Event(APPLICATIONS, "stopping", 0))
    # Only a Ray driver can ask the actors, so it runs in a process of its own.
    drain = subprocess.Popen(  # noqa: S603 - this Python, and no argument from outside
        [sys.executable, "-m", "actors.drain", str(DRAIN_WAIT_SECONDS)],
        env={**without_settings(os.environ), **stack.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with contextlib.suppress(httpx.HTTPError):  # a head that does not answer is stopped all the same
            ServeClient(stack.dashboard_url, stack.ray_token).shutdown(timeout_seconds=_SERVE_SHUTDOWN_TIMEOUT_SECONDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            drain.wait(_DRAIN_START_WAIT_SECONDS + DRAIN_WAIT_SECONDS)
    finally:
        drain.kill()
        drain.wait()
    on_event(Event(APPLICATIONS, "stopped", time.monotonic() - begun))


async def _ensure_first_key(settings: Settings, home: Home) -> None:
    async with Database.open(settings) as database:
        await database.ensure_indexes()
        keys = ApiKeyStore(database)
        if await keys.exists_any():
            return
        key, token = new_key(name=_FIRST_KEY, scopes=list(Scope))
        write_private(home.api_key_file, f"{token}\n")  # first: a stored key that nobody has would lock you out
        await keys.add(key)
