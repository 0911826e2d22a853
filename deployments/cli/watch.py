"""`darkroom status`, `watch` and `results`: the progress of a request, and its results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from deployments.cli.display import print_json, request_summary, request_table
from deployments.cli.epilog import EXAMPLE_ID, epilog
from deployments.cli.exit_codes import exit_for, handle_errors
from deployments.cli.image_progress import ImageProgress
from deployments.cli.options import HomeOption, JsonOption, UrlOption, connect

if TYPE_CHECKING:
    from cluster.client import Darkroom

commands = typer.Typer()
STATUS_EPILOG = epilog("darkroom status", f"darkroom status {EXAMPLE_ID}", exit_codes=True)
WATCH_EPILOG = epilog(f"darkroom watch {EXAMPLE_ID} --timeout 600", exit_codes=True)
RESULTS_EPILOG = epilog(
    f"darkroom results {EXAMPLE_ID} -o results.csv",
    f"darkroom results {EXAMPLE_ID} --only failed -o again.csv",
    f"darkroom results {EXAMPLE_ID} --format jsonl | jq .outputImageUrls",
)
RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the request, as `submit` prints it.")]


@commands.command(epilog=STATUS_EPILOG)
@handle_errors
def status(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id of the request. Without it: the latest requests.")
    ] = None,
    *,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a request, or list the latest requests."""
    with connect(url, home) as darkroom:
        if request_id is None:
            page = darkroom.requests()
            if as_json:
                print_json(page.document())
            else:
                Console().print(request_table(page.requests))
            return
        found = darkroom.status(request_id)
    if as_json:
        print_json(found.document())
    else:
        Console().print(request_summary(found))
    exit_for(found)


@commands.command(epilog=WATCH_EPILOG)
@handle_errors
def watch(
    request_id: RequestArgument,
    *,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Stop watching after this time. The request goes on.")
    ] = None,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a request until it ends."""
    with connect(url, home) as darkroom:
        follow(darkroom, request_id, as_json=as_json, timeout_seconds=timeout)


@commands.command(epilog=RESULTS_EPILOG)
@handle_errors
def results(
    request_id: RequestArgument,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write, by default standard output."),
    ] = None,
    file_format: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", help="The format of the results.")
    ] = "csv",
    only: Annotated[Literal["all", "failed"], typer.Option(help="The rows to fetch.")] = "all",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the results, at any time. The CSV of `--only failed` can be submitted again unchanged."""
    with connect(url, home) as darkroom:
        if output is None:
            for part in darkroom.results(request_id, file_format="jsonl" if as_json else file_format, only=only):
                sys.stdout.buffer.write(part)
            return
        size_bytes = darkroom.save_results(request_id, output, file_format=file_format, only=only)
    if as_json:
        print_json({"file": str(output), "bytes": size_bytes})
    else:
        Console().print(Text.assemble(("✓ ", "bold green"), f"{output}, {size_bytes:,} bytes"))


def follow(darkroom: Darkroom, request_id: str, *, as_json: bool, timeout_seconds: float | None = None) -> None:
    """Wait for the end of a request, show it, and exit with its code."""
    with ImageProgress(Console(stderr=True)) as progress:
        found = darkroom.wait(request_id, timeout_seconds=timeout_seconds, on_progress=progress.update)
    if as_json:
        print_json(found.document())
    else:
        Console().print(request_summary(found))
    exit_for(found)
