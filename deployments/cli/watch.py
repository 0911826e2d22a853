"""`darkroom status`, `watch` and `results`: how far a request is, and what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from deployments.cli.display import print_json, request_summary, request_table
from deployments.cli.exit_codes import EXIT_CODES_HELP, exit_for, handle_errors
from deployments.cli.image_progress import ImageProgress
from deployments.cli.options import HomeOption, JsonOption, UrlOption, connect

if TYPE_CHECKING:
    from cluster.client import Darkroom

STATUS_EPILOG = f"""
Examples:

darkroom status

darkroom status req_01kaxvh5e2f3c4d5e6f7g8h9ja

{EXIT_CODES_HELP}
"""
WATCH_EPILOG = f"""
Example: darkroom watch req_01kaxvh5e2f3c4d5e6f7g8h9ja --timeout 600

{EXIT_CODES_HELP}
"""
RESULTS_EPILOG = """
Examples:

darkroom results req_01kaxvh5e2f3c4d5e6f7g8h9ja -o results.csv

darkroom results req_01kaxvh5e2f3c4d5e6f7g8h9ja --only failed -o again.csv

darkroom results req_01kaxvh5e2f3c4d5e6f7g8h9ja --format jsonl | jq .outputImageUrls
"""
RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="The request, as `submit` printed it.")]


@handle_errors
def status(
    request_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="All requests if not given.")] = None,
    *,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a request is, or list the latest requests."""
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


@handle_errors
def watch(
    request_id: RequestArgument,
    *,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="Give up watching.")] = None,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a request's progress until it ends."""
    with connect(url, home) as darkroom:
        follow(darkroom, request_id, as_json=as_json, timeout_seconds=timeout)


@handle_errors
def results(
    request_id: RequestArgument,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Standard output if not given.")
    ] = None,
    file_format: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="Of the file.")] = "csv",
    only: Annotated[Literal["all", "failed"], typer.Option(help="Which rows.")] = "all",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the result CSV, at any time; `--only failed` can be submitted again unchanged."""
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
    """Wait for the end of a request, show it, and end as it did."""
    with ImageProgress(Console(stderr=True)) as progress:
        found = darkroom.wait(request_id, timeout_seconds=timeout_seconds, on_progress=progress.update)
    if as_json:
        print_json(found.document())
    else:
        Console().print(request_summary(found))
    exit_for(found)
