"""`darkroom submit`: send a catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from deployments.cli.display import more_errors, print_json, row_errors
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import HomeOption, JsonOption, UrlOption, connect
from deployments.cli.watch import follow

if TYPE_CHECKING:
    from cluster.client import Submission

commands = typer.Typer()
EPILOG = epilog(
    "darkroom submit catalogue.csv --watch",
    "darkroom submit catalogue.csv --format webp --quality 70 --max-width 1600",
    """darkroom submit catalogue.csv --options '{"outputs": [{"name": "zoom"}, {"name": "thumb", "maxWidth": 300}]}'""",
    "darkroom submit catalogue.csv --dry-run",
    'darkroom submit catalogue.csv --column "Input Image Urls=Photos" --skip-invalid-rows',
    exit_codes=True,
)


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter('not a JSON object, as in {"quality": 70}')
    return value


@commands.command(epilog=EPILOG)
@handle_errors
def submit(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The CSV file.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the progress until the end.")] = False,
    more_options: Annotated[
        dict[str, object] | None,
        typer.Option(
            "--options", metavar="JSON", parser=_json, help="Options, as the API takes them. The options below win."
        ),
    ] = None,
    image_format: Annotated[
        Literal["keep", "jpeg", "webp", "avif", "png"] | None,
        typer.Option("--format", help="The format of the outputs."),
    ] = None,
    effort: Annotated[
        Literal["fast", "balanced", "max"] | None, typer.Option(help="How much time to take to save bytes.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="The quality of lossy formats, 75 by default.")
    ] = None,
    max_width: Annotated[int | None, typer.Option(min=1, help="In pixels. Larger images are made smaller.")] = None,
    max_height: Annotated[int | None, typer.Option(min=1, help="In pixels. Larger images are made smaller.")] = None,
    background: Annotated[str | None, typer.Option(help="The colour in place of transparency, as #rrggbb.")] = None,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF, XMP, IPTC and colour profile.")
    ] = False,
    webhook_url: Annotated[str | None, typer.Option(help="The URL to call when the request ends.")] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(help="The secret that signs the call: whsec_ and base64.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=YOURS", help="The name of one of our columns in your file. May be repeated."),
    ] = None,
    skip_invalid_rows: Annotated[
        bool, typer.Option("--skip-invalid-rows", help="Leave out rows that have errors.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate only. Nothing is stored.")] = False,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="From 0 to 9 (first), 5 by default.")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="Fail the request if it has not ended after this time."),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="A text that is the same when you repeat an upload.")
    ] = None,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a catalogue: a CSV with Serial Number, Product Name and Input Image Urls."""
    options: dict[str, object] = {
        "format": image_format,
        "quality": quality,
        "effort": effort,
        "maxWidth": max_width,
        "maxHeight": max_height,
        "background": background,
        "keepMetadata": keep_metadata or None,
    }
    with connect(url, home) as darkroom:
        submission = darkroom.submit(
            file,
            options=(more_options or {}) | {name: value for name, value in options.items() if value is not None},
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            columns=_columns(column or []),
            on_invalid_row="skip" if skip_invalid_rows else None,
            dry_run=dry_run,
            priority=priority,
            deadline_seconds=deadline,
            idempotency_key=idempotency_key,
        )
        if not (watch and as_json):
            _show(submission, as_json=as_json)
        if watch and not dry_run:
            follow(darkroom, submission.request_id, as_json=as_json)


def _columns(pairs: list[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        ours, equals, yours = pair.partition("=")
        if not equals or not ours.strip() or not yours.strip():
            raise typer.BadParameter(
                f"{pair!r} is not OURS=YOURS, as in 'Input Image Urls=Photos'", param_hint="--column"
            )
        columns[ours.strip()] = yours.strip()
    return columns


def _show(submission: Submission, *, as_json: bool) -> None:
    if as_json:
        print_json(submission.document())
        return
    console = Console()
    console.print(Text.assemble(("✓ ", "bold green"), submission.message or "Accepted."))
    if submission.request_id:
        console.print(Text.assemble("  Request ", (submission.request_id, "cyan")))
    if submission.rejected_rows:
        errors = [problem.model_dump() for problem in submission.rejected_rows]
        console.print(row_errors(errors))
        left = more_errors(len(errors), len(errors))
        if left:
            console.print(left)
