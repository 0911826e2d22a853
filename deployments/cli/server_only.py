"""The answer to a command that needs the packages of the service, on a machine that has those of a client alone."""

from __future__ import annotations

import typer

from cluster.errors import DarkroomError
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import JsonOption


def refusal(name: str) -> typer.Typer:
    """Return a command of this name that takes all arguments and tells where to run it."""
    commands = typer.Typer()

    @commands.command(name, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @handle_errors
    def refuse(_arguments: list[str] | None = typer.Argument(None), *, as_json: JsonOption = False) -> None:  # noqa: ARG001 - `handle_errors` takes it
        raise DarkroomError(
            f"`darkroom {name}` needs the packages of the service, and this machine has those of a client. "
            "Run it where the service runs, or install the extra `server` here."
        )

    return commands
