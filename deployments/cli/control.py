"""`darkroom cancel`, `pause`, `resume`, `priority`, `retry` and `delete`: control of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from deployments.cli.display import print_json
from deployments.cli.epilog import EXAMPLE_ID, epilog
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import HomeOption, JsonOption, UrlOption, connect
from deployments.cli.watch import RequestArgument, follow

if TYPE_CHECKING:
    from cluster.client import RequestSummary

commands = typer.Typer()
RETRY_EPILOG = epilog(
    f"darkroom retry {EXAMPLE_ID} --watch",
    f"darkroom retry {EXAMPLE_ID} --code timeout --code source_error",
    exit_codes=True,
)


@commands.command(epilog=epilog(f"darkroom cancel {EXAMPLE_ID}", exit_codes=True))
@handle_errors
def cancel(
    request_id: RequestArgument, *, url: UrlOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """End a request. Finished images stay, and the others fail with `cancelled`."""
    with connect(url, home) as darkroom:
        _show(darkroom.cancel(request_id), "is cancelled. Finished images stay", as_json=as_json)


@commands.command(epilog=epilog(f"darkroom pause {EXAMPLE_ID}", exit_codes=True))
@handle_errors
def pause(
    request_id: RequestArgument, *, url: UrlOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Hold a request until `darkroom resume`."""
    with connect(url, home) as darkroom:
        _show(darkroom.pause(request_id), f"is paused. `darkroom resume {request_id}` lets it go on", as_json=as_json)


@commands.command(epilog=epilog(f"darkroom resume {EXAMPLE_ID}", exit_codes=True))
@handle_errors
def resume(
    request_id: RequestArgument, *, url: UrlOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Let a paused request go on where it was."""
    with connect(url, home) as darkroom:
        _show(darkroom.resume(request_id), "goes on", as_json=as_json)


@commands.command(epilog=epilog(f"darkroom priority {EXAMPLE_ID} 9", exit_codes=True))
@handle_errors
def priority(
    request_id: RequestArgument,
    value: Annotated[int, typer.Argument(metavar="PRIORITY", min=0, max=9, help="From 0 to 9 (first).")],
    *,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the priority of a request, whether it waits or runs."""
    with connect(url, home) as darkroom:
        _show(darkroom.set_priority(request_id, value), f"has priority {value} now", as_json=as_json)


@commands.command(epilog=RETRY_EPILOG)
@handle_errors
def retry(
    request_id: RequestArgument,
    *,
    code: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Only images that failed with this code. May be repeated.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the progress until the end.")] = False,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the failed images of a request again. The others stay as they are."""
    with connect(url, home) as darkroom:
        found = darkroom.retry(request_id, codes=code or None)
        if not (watch and as_json):
            left = found.counts.unprocessed + found.counts.in_flight
            _show(found, f"runs again for {left:,} {'image' if left == 1 else 'images'}", as_json=as_json)
        if watch:
            follow(darkroom, request_id, as_json=as_json)


@commands.command(epilog=epilog(f"darkroom delete {EXAMPLE_ID} --yes", exit_codes=True))
@handle_errors
def delete(
    request_id: RequestArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for a confirmation.")] = False,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an ended request with its records and its outputs in the bucket."""
    if not yes:
        typer.confirm(f"Delete {request_id} with all its outputs?", abort=True, err=True)
    with connect(url, home) as darkroom:
        darkroom.delete(request_id)
    if as_json:
        print_json({"requestId": request_id, "deleted": True})
    else:
        _say(request_id, "is deleted")


def _show(request: RequestSummary, outcome: str, *, as_json: bool) -> None:
    if as_json:
        print_json(request.document())
    else:
        _say(request.request_id, outcome)


def _say(request_id: str, outcome: str) -> None:
    Console().print(Text.assemble(("✓ ", "bold green"), (request_id, "cyan"), f" {outcome}."))
