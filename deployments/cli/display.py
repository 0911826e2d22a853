"""The output of the commands: JSON, a request, its failures, the errors of a CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.client import RequestStatus, RequestSummary

SHOWN_ROWS = 20
STATE_STYLES = {"pending": "cyan", "processing": "cyan", "completed": "green", "failed": "red"}


def print_json(document: dict[str, Any] | list[Any]) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def request_summary(status: RequestStatus) -> Table:
    """Return a request in a few lines."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(status):
        facts.add_row(f" {name}", value)
    return facts


def request_table(requests: Sequence[RequestSummary]) -> Table | str:
    """Return a table with a line for each request."""
    if not requests:
        return "There are no requests yet. `darkroom submit catalogue.csv` makes one."
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    columns: tuple[tuple[str, int, Literal["left", "right"]], ...] = (
        ("Request", 30, "left"),
        ("Status", 10, "left"),
        ("Images", 7, "right"),
        ("Failed", 6, "right"),
        ("Accepted", 12, "left"),
    )
    for name, width, justify in columns:
        table.add_column(name, no_wrap=True, min_width=width, justify=justify)
    table.add_column("File", overflow="ellipsis", no_wrap=True)
    for request in requests:
        counts = request.counts
        table.add_row(
            request.request_id,
            Text(request.status, style=STATE_STYLES.get(request.status, "")),
            f"{counts.done:,}/{counts.images:,}",
            Text(f"{counts.failed:,}", style="yellow") if counts.failed else "",
            "" if request.created_at is None else request.created_at.astimezone().strftime("%d %b %H:%M"),
            Text(request.filename or ""),
        )
    return table


def row_errors(errors: Sequence[dict[str, Any]]) -> Table:
    """Return a table of the first errors of a CSV."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Row", justify="right", no_wrap=True)
    table.add_column("Column", no_wrap=True)
    table.add_column("Value", overflow="ellipsis", no_wrap=True, max_width=32)
    table.add_column("Error", overflow="fold")
    for error in errors[:SHOWN_ROWS]:
        row, column, value, message = (error.get(name) for name in ("row", "column", "value", "message"))
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in (row, column, value, message)))
    return table


def more_errors(shown: int, total: int) -> str | None:
    """Return a sentence about the errors that are not in the table, or None when all are."""
    left = total - min(shown, SHOWN_ROWS)
    return f"… and {left:,} more. --json lists up to 1,000." if left > 0 else None


def _facts(status: RequestStatus) -> list[tuple[str, str | Text]]:
    counts, total = status.counts, status.bytes
    state = Text.assemble((status.status, STATE_STYLES.get(status.status, "")), _because(status))
    failed = (f", {counts.failed:,} failed", "yellow") if counts.failed else ""
    facts: list[tuple[str, str | Text]] = [
        ("Request", status.request_id),
        ("Status", state),
        ("Images", Text.assemble(f"{counts.completed:,} of {counts.images:,} done", failed)),
    ]
    if total.in_:
        facts.append(("Bytes", f"{decimal(total.in_)} → {decimal(total.out)}, {1 - total.out / total.in_:.0%} saved"))
    facts.extend(
        ("Failures" if index == 0 else "", _failure(failure.code, failure.count, failure.sample_url))
        for index, failure in enumerate(status.failures)
    )
    if status.seconds is not None:
        facts.append(("Time", f"{status.seconds:,.1f} s"))
    if status.webhook is not None:
        told = "delivered" if status.webhook.triggered else "not delivered yet"
        facts.append(("Webhook", f"{status.webhook.url}, {told}, attempts: {status.webhook.attempts}"))
    return facts


def _because(status: RequestStatus) -> str:
    if status.reason:
        return f" ({status.reason})"
    if status.paused:
        return f", {status.progress:.0f}%, paused"
    return "" if status.terminal else f", {status.progress:.0f}%"


def _failure(code: str, count: int, sample_url: str | None) -> Text:
    sample = f", for example {sample_url}" if sample_url else ""
    return Text.assemble((f"{count:,} {code}", "yellow"), sample)
