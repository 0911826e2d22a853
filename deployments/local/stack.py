"""All servers of one machine. Servers that your settings name are used, and the rest is started."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.errors import ServerStartError
from cluster.http.url import host_of_ray
from deployments.local import ports, processes, remedies
from deployments.local.claims import Claims
from deployments.local.credentials import Credentials
from deployments.local.environment import (
    PREFIX,
    aws_environment,
    proxy_environment,
    settings_environment,
    settings_from,
    settings_values,
)
from deployments.local.mongod import Mongod
from deployments.local.port_changes import stop_ray_on_port_change
from deployments.local.private_files import write_private
from deployments.local.ray_head import RayHead
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.server import Launcher
from deployments.local.shutdown import stop_servers
from deployments.local.state import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cluster.settings import Settings
    from deployments.local.home import Home
    from deployments.local.server import Event, Server

_Store = Mongod | RedisServer | SeaweedFS

_RAY_DASHBOARD_PORT = 8265
_MAX_PORT_TRIES = 5
_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to

_AWS_KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})
_LISTENS_ON = {each.name: each.listens_on for each in (Mongod, RedisServer, SeaweedFS, RayHead)}


@dataclass(frozen=True)
class RunningStack:
    """The servers as they run."""

    home: Home
    settings: Settings
    """The settings that you gave, completed by the addresses and the secret key of the started servers."""
    environment: dict[str, str] = field(repr=False)
    """The variables that a driver needs: `DARKROOM_*`, `AWS_*` and `RAY_*`, to be merged into its own environment."""
    embedded: frozenset[str]
    """The names of the servers that are this machine's own."""
    dashboard_url: str
    """The URL of Ray's dashboard and of Serve's REST API."""
    ray_token: str | None = field(repr=False)
    """None for a Ray that you named: Ray then finds your token by itself."""
    http_port: int
    """The port of the service, which listens at `settings.host`."""
    url: str
    """The URL of the service once it is deployed."""

    @property
    def ray_is_ours(self) -> bool:
        """Whether Ray is this machine's own."""
        return RayHead.name in self.embedded

    @property
    def replica_environment(self) -> dict[str, str]:
        """The variables for the applications' `runtime_env`. There are none when they inherit them from our own Ray.

        Every user of the cluster can read them. So they hold the paths of private files and nothing secret.
        """
        if self.ray_is_ours:
            return {}
        files = {f"{PREFIX}SETTINGS_FILE": str(self.home.settings_file)}
        if SeaweedFS.name in self.embedded:
            files["AWS_SHARED_CREDENTIALS_FILE"] = str(self.home.aws_credentials_file)
        return files

    def dead(self) -> list[str]:
        """Return the names of our own servers that do not run any more. `start_servers` brings them back."""
        servers = StateFile(self.home.state_file).read().servers
        return [name for name in sorted(self.embedded) if name not in servers or not servers[name].is_alive]


def embedded_servers(settings: Settings) -> frozenset[str]:
    """Return the names of the servers that this machine must run itself, because you name no others.

    S3 is yours when `DARKROOM_S3_ENDPOINT_URL` or `DARKROOM_S3_BUCKET` is set (the bucket alone means AWS). AWS
    credentials alone do not count: many people have them in their shell for other work.
    """
    given = settings.model_fields_set
    named = {
        Mongod.name: "mongo_url" in given,
        RedisServer.name: "redis_url" in given,
        SeaweedFS.name: bool(given & {"s3_endpoint_url", "s3_bucket"}),
        RayHead.name: settings.ray_address is not None,
    }
    return frozenset(name for name, external in named.items() if not external)


def start_servers(
    settings: Settings, home: Home, on_event: Callable[[Event], None], *, assume_running: Collection[str] = ()
) -> RunningStack:
    """Bring up all servers that the settings do not name at once, and adopt those that run already.

    Args:
        settings: The settings that you gave.
        home: The folder of data, logs and keys.
        on_event: Called from several threads, at each server's every step.
        assume_running: Servers that are left as they are. Ray is not, when a store must take another port.

    Raises:
        ServerStartError: A server does not get ready. The servers that this call started are stopped again.
        HomeBusyError: Another process starts or stops the servers of this folder.
        OSError: The folder cannot be written, or no port is free.
    """
    home.create()
    with home.locked():
        before = StateFile(home.state_file).read()
        for tries in range(1, _MAX_PORT_TRIES + 1):
            with Claims() as claims:
                numbers = _choose_ports(settings, home, embedded_servers(settings), claims)
                if stop_ray_on_port_change(home, before, numbers, ray_is_ours=settings.ray_address is None):
                    assume_running = {*assume_running} - {RayHead.name}
                stack, servers = _plan(settings, home, numbers)
                StateFile(home.state_file).record_start(settings_environment(settings), numbers, stack.url)
                if not stack.ray_is_ours:
                    _hand_over(stack)
                try:
                    _bring_up([each for each in servers if each.name not in assume_running], home, on_event, claims)
                    break
                except ServerStartError as error:
                    # A program that makes no claims has taken a port since it was found free.
                    if error.remedy != remedies.PORT_TAKEN or tries == _MAX_PORT_TRIES:
                        raise
        return stack


def started_stack(home: Home) -> RunningStack | None:
    """Return the stack that `start_servers` brought up last, with the settings of then, whether it lives or not.

    It is None when there was none, or it was stopped.

    Raises:
        ValueError: `state.json` or `secrets.json` is damaged.
    """
    state = StateFile(home.state_file).read()
    return None if state.url is None else _plan(settings_from(state.settings), home, state.ports)[0]


def _plan(settings: Settings, home: Home, numbers: Mapping[str, int]) -> tuple[RunningStack, list[Server]]:
    embedded = embedded_servers(settings)
    credentials = Credentials.of(home)
    stores = _stores(home, numbers, embedded, credentials, settings)
    complete = _complete(settings, stores, credentials)
    environment = {**settings_environment(complete), **proxy_environment(os.environ)}
    if SeaweedFS.name in embedded:
        environment |= aws_environment(credentials.s3_access_key, credentials.s3_secret_key)
    head = RayHead(home, numbers, credentials=credentials, inherited=environment)
    ours = RayHead.name in embedded
    if ours:
        complete = complete.model_copy(update={"ray_address": head.address})
    address = {f"{PREFIX}RAY_ADDRESS": complete.ray_address or ""}
    stack = RunningStack(
        home=home,
        settings=complete,
        environment={**environment, **address, **(head.driver_environment() if ours else {})},
        embedded=embedded,
        dashboard_url=head.dashboard_url if ours else _dashboard_url(complete.ray_address or ""),
        ray_token=credentials.ray_token if ours else None,
        http_port=numbers[ports.HTTP.name],
        url=f"http://{_http_host(complete, ours=ours)}:{numbers[ports.HTTP.name]}",
    )
    return stack, [*stores, *([head] if ours else [])]


def _hand_over(stack: RunningStack) -> None:
    """Write the settings, and the credentials of our own S3, since a Ray of your own cannot inherit them."""
    write_private(stack.home.settings_file, json.dumps(settings_values(stack.settings), indent=2))
    if SeaweedFS.name in stack.embedded:
        keys = {name.lower(): value for name, value in stack.environment.items() if name in _AWS_KEYS}
        lines = [f"{name} = {value}" for name, value in keys.items()]
        write_private(stack.home.aws_credentials_file, "\n".join(["[default]", *lines, ""]))


def _choose_ports(settings: Settings, home: Home, embedded: frozenset[str], claims: Claims) -> dict[str, int]:
    """Return the ports of running servers, and free ones for the others. Orphans that may hold one are ended first."""
    state = StateFile(home.state_file).read()
    is_named = RayHead.name not in embedded or "port" in settings.model_fields_set
    numbers = {**state.ports, **({ports.HTTP.name: settings.port} if is_named else {})}
    for name in sorted(embedded):
        started = state.servers.get(name)
        if started is None or not started.is_alive:
            if started is not None:
                processes.stop_tree(started.process, home.path, grace_seconds=processes.ORPHAN_GRACE_SECONDS)
            wanted = [port for port in _LISTENS_ON[name] if not (is_named and port == ports.HTTP)]
            numbers |= claims.choose(wanted, numbers)
            if len(wanted) < len(_LISTENS_ON[name]) and not claims.hold(ports.HTTP, settings.port):
                raise _port_is_taken(settings.port)
    return numbers


def check_port(settings: Settings, home: Home) -> None:
    """Check that the service can have the port that you named, if you named one.

    Raises:
        ServerStartError: Another process has it.
    """
    ours = StateFile(home.state_file).read().ports.get(ports.HTTP.name) if started_stack(home) is not None else None
    if "port" in settings.model_fields_set and settings.port != ours and not ports.is_free(settings.port):
        raise _port_is_taken(settings.port)


def _port_is_taken(number: int) -> ServerStartError:
    return ServerStartError(
        "The HTTP service",
        "",
        f"Another process has port {number}, or starts there.",
        "Set DARKROOM_PORT to another port, or unset it: then a free one is chosen.",
    )


def _stores(
    home: Home,
    numbers: Mapping[str, int],
    embedded: frozenset[str],
    credentials: Credentials,
    settings: Settings,
) -> list[_Store]:
    stores: list[_Store] = [
        Mongod(home, numbers, credentials=credentials),
        RedisServer(home, numbers, credentials=credentials),
        SeaweedFS(home, numbers, credentials=credentials, bucket=settings.s3_bucket),
    ]
    return [store for store in stores if store.name in embedded]


def _complete(settings: Settings, stores: list[_Store], credentials: Credentials) -> Settings:
    names = {Mongod.name: "mongo_url", RedisServer.name: "redis_url", SeaweedFS.name: "s3_endpoint_url"}
    found: dict[str, object] = {names[store.name]: store.url for store in stores}
    if not settings.secret_key.get_secret_value():
        found["secret_key"] = SecretStr(credentials.secret_key)
    return settings.model_copy(update=found)


def _dashboard_url(ray_address: str) -> str:
    return f"http://{host_of_ray(ray_address)}:{_RAY_DASHBOARD_PORT}"


def _http_host(settings: Settings, *, ours: bool) -> str:
    """Return the host by which a client on this machine reaches the service."""
    if settings.host not in _ANY_HOST:
        return settings.host
    return ports.LOOPBACK if ours else host_of_ray(settings.ray_address or "")


def _bring_up(servers: list[Server], home: Home, on_event: Callable[[Event], None], claims: Claims) -> None:
    cancelled = threading.Event()
    state = StateFile(home.state_file)  # one for all threads, because it holds their lock
    launchers = [Launcher(server, state, on_event, cancelled, claims) for server in servers]
    try:
        _launch_all(launchers, cancelled)
    except BaseException:  # an interrupt, too, must leave nothing half started
        stop_servers(home, [launcher.name for launcher in launchers if launcher.started], on_event)
        raise


def _launch_all(launchers: list[Launcher], cancelled: threading.Event) -> None:
    if not launchers:
        return
    with ThreadPoolExecutor(max_workers=len(launchers)) as pool:
        try:
            done, _ = wait([pool.submit(launcher.bring_up) for launcher in launchers], return_when=FIRST_EXCEPTION)
            errors = [error for future in done if (error := future.exception()) is not None]
            if errors:
                raise errors[0]
        finally:
            cancelled.set()  # the pool waits for the others, which need not go on when one has failed
