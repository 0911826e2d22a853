"""The command line: `darkroom`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer._click import Command, Context  # typer has a click of its own, and no public name for it
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from cluster import __version__

HELP = "Bulk image compression: a CSV of image URLs in, smaller copies in your own bucket out."
EPILOG = """
Start with: darkroom demo

Then: darkroom up --detach; darkroom submit catalogue.csv --watch
"""
OWN_PACKAGES = frozenset({"cluster", "actors", "deployments"})
MODULES = {
    "up": "up",
    "down": "up",
    "demo": "demo",
    "submit": "submit",
    "status": "watch",
    "watch": "watch",
    "results": "watch",
    "cancel": "control",
    "pause": "control",
    "resume": "control",
    "priority": "control",
    "retry": "control",
    "delete": "control",
    "keys": "keys",
    "backup": "backup",
    "restore": "backup",
    "doctor": "doctor",
}
"""The module of this folder that has a command, in the order of the help."""


class Commands(TyperGroup):
    """All commands. The module of one is imported when it is called, since most need no store and no server."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own, which it passes by name
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name) for name in MODULES}  # the names for the help, and for "Did you mean"

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command, or None when there is none of that name."""
        return get_group(_commands(cmd_name)).get_command(ctx, cmd_name) if cmd_name in MODULES else None


def _commands(name: str) -> typer.Typer:
    """Return the commands of a module, or a refusal when a package is missing that a client need not have."""
    try:
        commands: typer.Typer = import_module(f"deployments.cli.{MODULES[name]}").commands
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN_PACKAGES:
            raise
        commands = import_module("deployments.cli.server_only").refusal(name)
    return commands


app = typer.Typer(
    cls=Commands,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if asked:
        typer.echo(f"darkroom {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
]


@app.callback()
def main(*, version: VersionOption = False) -> None:  # noqa: D103 - its docstring would replace the help
    pass
