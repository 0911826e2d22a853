"""`darkroom up` and `darkroom down`."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cluster.errors import DarkroomError, HomeBusyError
from cluster.settings import unknown_settings
from deployments.cli.display import print_json
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import HomeOption, JsonOption, settings_for
from deployments.cli.server_progress import ServerProgress
from deployments.local.environment import changed_settings
from deployments.local.home import Home
from deployments.local.service import bring_up, take_down
from deployments.local.stack import started_stack
from deployments.local.state import State
from deployments.local.supervisor import SUPERVISOR, start_supervisor, stop_supervisor

if TYPE_CHECKING:
    from cluster.settings import Settings
    from deployments.local.stack import RunningStack

commands = typer.Typer()
UP_EPILOG = epilog(
    "darkroom up --detach",
    "DARKROOM_MONGO_URL=mongodb://db.internal/?replicaSet=rs0 darkroom up",
    notes="To use servers of your own, set DARKROOM_MONGO_URL, DARKROOM_REDIS_URL, DARKROOM_S3_ENDPOINT_URL or "
    "DARKROOM_S3_BUCKET, or DARKROOM_RAY_ADDRESS. All others are started on loopback. Data and logs are in .darkroom/.",
)
DOWN_EPILOG = epilog(
    "darkroom down",
    notes="Images that are being processed are finished first. The rest goes on after the next `darkroom up`.",
)
SERVERS_POLL_SECONDS = 0.5


@commands.command(epilog=UP_EPILOG)
@handle_errors
def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the service is ready, and let it run.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start Darkroom, with all servers that your settings do not name."""
    settings = settings_for(home)
    misspelt = unknown_settings()
    if misspelt:
        raise DarkroomError(
            f"There is no setting {', '.join(misspelt)}. Correct the name, or remove it. "
            "cluster/SETTINGS.md lists all settings."
        )
    folder = Home(settings.home)
    changed = changed_settings(State.read(folder.state_file).settings, settings)
    if changed and started_stack(folder) is not None and not as_json:
        text = f"Changed since the last `up`: {', '.join(changed)}. Ray is started again with the new settings."
        Console(stderr=True).print(Text(text, style="yellow"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    stack = _brought_up(settings, folder, as_json=as_json)
    try:
        if as_json:
            print_json(_document(stack))
        else:
            _show(stack, detached=detach)
        if not detach:
            _until_stopped(stack)
    finally:
        if not detach and started_stack(folder) is not None:
            _stop(folder, as_json=as_json)


@commands.command(epilog=DOWN_EPILOG)
@handle_errors
def down(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Finish running work, and stop everything that `darkroom up` started."""
    folder = Home(settings_for(home).home)
    running = State.read(folder.state_file).servers
    _stop(folder, as_json=as_json)
    if as_json:
        print_json({"stopped": sorted(running)})
    elif not running:
        Console().print("Nothing was running.")


def _stop(folder: Home, *, as_json: bool) -> None:
    with ServerProgress(Console(stderr=True), quiet=as_json) as progress:
        take_down(folder, progress.update)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _brought_up(settings: Settings, folder: Home, *, as_json: bool) -> RunningStack:
    stop_supervisor(folder)  # so that only this start brings up servers
    try:
        with ServerProgress(Console(stderr=True), quiet=as_json) as progress:
            return bring_up(settings, folder, progress.update)
    finally:
        if started_stack(folder) is not None:  # also servers that go on although this start has failed
            _supervise(folder)


def _supervise(folder: Home) -> None:
    with contextlib.suppress(HomeBusyError):  # another `up` is at work and ends with this, or a `down`
        start_supervisor(folder)


def _until_stopped(stack: RunningStack) -> None:
    """Wait for Ctrl-C, SIGTERM, or a `darkroom down` from elsewhere. Show the deaths of servers meanwhile."""
    console, seen = Console(stderr=True), list[str]()
    with contextlib.suppress(KeyboardInterrupt):
        while started_stack(stack.home) is not None:
            dead = stack.dead()
            if dead and not seen:
                text = f"{', '.join(dead)} died and is started again. See {stack.home.log_file(SUPERVISOR)}"
                console.print(Text.assemble(("✗ ", "bold red"), text))
            elif seen and not dead:
                console.print(Text.assemble(("✓ ", "bold green"), "Everything runs again."))
            seen = dead
            _supervise(stack.home)  # the supervisor may have died, too
            threading.Event().wait(SERVERS_POLL_SECONDS)


def _document(stack: RunningStack) -> dict[str, object]:
    return {"url": stack.url, "apiKeyFile": str(stack.home.api_key_file), "home": str(stack.home.path)}


def _show(stack: RunningStack, *, detached: bool) -> None:
    console = Console()
    key = stack.home.api_key_file
    console.print(Text.assemble(("✓ ", "bold green"), "Darkroom is ready at ", (stack.url, "cyan")))
    if key.exists():
        console.print(f"  API key   {_shortened(key)} (the commands find it by themselves)", highlight=False)
    else:
        console.print(f"  API key   none here. Make one: {_program()} keys create NAME", highlight=False)
    console.print(f"  Docs      {stack.url}/docs", highlight=False)
    console.print(f"  Ray       {stack.dashboard_url}", highlight=False)
    console.print(f"  Logs      {_shortened(stack.home.logs)}", highlight=False)
    console.print(f"  Stop      {_program()} down" if detached else "  Stop      Ctrl-C", highlight=False)


def _program() -> str:
    """Return how this program was called, for the commands in its messages."""
    path = Path(sys.argv[0])
    on_path = shutil.which(path.name)
    return path.name if on_path is not None and Path(on_path).samefile(path) else _shortened(path)


def _shortened(path: Path) -> str:
    path, current = path.absolute(), Path.cwd()
    return str(path.relative_to(current)) if path.is_relative_to(current) else str(path)
