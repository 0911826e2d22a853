"""`darkroom demo`."""

from __future__ import annotations

import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cluster.client import Darkroom
from deployments.cli.display import print_json
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import ExitCode, handle_errors
from deployments.cli.image_progress import ImageProgress
from deployments.cli.options import JsonOption, settings_for
from deployments.cli.server_progress import ServerProgress
from deployments.demo.report import print_report
from deployments.demo.run import DemoReport, run
from deployments.local.environment import settings_from
from deployments.local.home import Home
from deployments.local.service import bring_up, take_down
from deployments.local.stack import RunningStack

commands = typer.Typer()
EPILOG = epilog(
    "darkroom demo --output /tmp/demo",
    notes="The demo starts servers of its own in .darkroom/demo/, and stops them at its end.",
)


@commands.command(epilog=EPILOG)
@handle_errors
def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the results.")] = Path(
        "darkroom-demo"
    ),
    as_json: JsonOption = False,
) -> None:
    """Compress a catalogue of real photographs on servers of its own, check every result and show the savings."""
    console = Console(stderr=as_json)
    begun = time.monotonic()
    # The demo's pictures and its webhook endpoint are on loopback, which the guard refuses otherwise.
    opened = {"allowed_networks": (IPv4Network("127.0.0.0/8"),), "allow_http_webhooks": True}
    home = Home(settings_for().home / "demo")
    settings = settings_from({}).model_copy(update=opened)  # none of your own stores
    try:
        with ServerProgress(console, quiet=as_json) as progress:
            stack = bring_up(settings, home, progress.update)
        report = _run(stack, output, console)
        if as_json:
            print_json(report.document())
        else:
            print_report(console, report)
    finally:
        with ServerProgress(console, quiet=as_json) as progress:
            take_down(home, progress.update)
    if not as_json:
        console.print(Text(f"{time.monotonic() - begun:.0f} s in all, with start and stop of all servers.", "dim"))
    if report.surprises:
        raise typer.Exit(ExitCode.ERROR)


def _run(stack: RunningStack, output: Path, console: Console) -> DemoReport:
    with Darkroom(stack.url, api_key=stack.home.api_key) as service, ImageProgress(console) as progress:
        return run(service, output, on_progress=progress.update)
