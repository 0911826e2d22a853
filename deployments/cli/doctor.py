"""`darkroom doctor`: checks of everything that Darkroom needs, with a fix for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from deployments.cli.checks import Check, Verdict, check_machine, check_service
from deployments.cli.display import print_json
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import ExitCode, handle_errors
from deployments.cli.node_checks import check_nodes
from deployments.cli.options import HomeOption, JsonOption, settings_for
from deployments.local.home import Home
from deployments.local.memory import memory_by_part
from deployments.local.serve_client import dashboard_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

commands = typer.Typer()
EPILOG = epilog("darkroom doctor", "darkroom doctor --memory", notes="The exit code is 1 when something must be fixed.")
MARKS = {
    Verdict.GOOD: ("✓", "green"),
    Verdict.FAULTY: ("✗", "bold red"),
    Verdict.NEUTRAL: ("-", "dim"),
}


@commands.command(epilog=EPILOG)
@handle_errors
def doctor(
    *,
    show_memory: Annotated[bool, typer.Option("--memory", help="Also show how much memory each part takes.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every dependency, the settings and the running service, and print a fix for each fault."""
    settings = settings_for(home)
    folder = Home(settings.home)
    nodes = check_nodes(Path.home(), lambda: dashboard_headers(None))
    checks = [*check_machine(settings), *check_service(settings, folder), *nodes]
    parts = memory_by_part(folder) if show_memory else []
    if as_json:
        print_json({"checks": [check.document() for check in checks], "memoryBytes": dict(parts)})
    else:
        console = Console()
        console.print(_table(checks))
        if parts:
            console.print(_memory_table(parts))
    if any(check.verdict is Verdict.FAULTY for check in checks):
        raise typer.Exit(ExitCode.ERROR)


def _table(checks: Sequence[Check]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row(Text(*MARKS[check.verdict]), check.name, check.detail)
        if check.fix:
            table.add_row("", "", Text(f"Fix: {check.fix}", style="yellow"))
    return table


def _memory_table(parts: Sequence[tuple[str, int]]) -> Table:
    table = Table(title="Memory (proportional set size)", title_justify="left", box=None, padding=(0, 2))
    table.add_column("Part")
    table.add_column("Bytes", justify="right")
    for name, size_bytes in parts:
        table.add_row(name, decimal(size_bytes))
    table.add_row("all", decimal(sum(size_bytes for _, size_bytes in parts)), style="bold")
    return table
