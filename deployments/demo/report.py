"""The demo's report on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from deployments.demo.outcome import Outcome
    from deployments.demo.run import DemoReport


def print_report(console: Console, report: DemoReport) -> None:
    """Print the table, the totals, the webhook, the paths and the verdict."""
    console.print(_table(report.outcomes))
    console.print(_facts(report))
    console.print()
    for line in report.surprises:
        console.print(Text.assemble((" ✗ ", "bold red"), line))
    if not report.surprises:
        failed = report.status.counts.failed
        verdict = (
            f"Everything is as expected: {failed} broken sources failed with their codes, and nothing else failed."
        )
        console.print(Text.assemble((" ✓ ", "bold green"), verdict))


def saved(bytes_in: int, bytes_out: int) -> str:
    """Return the saving in percent, or a dash when nothing went in."""
    return f"{1 - bytes_out / bytes_in:.0%}" if bytes_in else "-"


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Product", max_width=26, no_wrap=True, overflow="ellipsis")
    for name, width in (("Images", 6), ("Before", 8), ("After", 8), ("Saved", 5), ("Errors", 15)):
        table.add_column(name, justify="left" if name == "Errors" else "right", min_width=width, no_wrap=True)
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    return table


def _row(outcome: Outcome) -> tuple[str | Text, ...]:
    nothing = not outcome.bytes_in
    return (
        Text(outcome.row.name),
        str(len(outcome.row.images)),
        "-" if nothing else decimal(outcome.bytes_in),
        "-" if nothing else decimal(outcome.bytes_out),
        Text(saved(outcome.bytes_in, outcome.bytes_out), style="" if nothing else "green"),
        Text(", ".join(f"{count} {code}" for code, count in sorted(outcome.codes.items())), style="yellow"),
    )


def _facts(report: DemoReport) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("Images", _images(report)),
        ("Bytes", _bytes(report)),
        ("Time", f"{report.seconds:.1f} s, {report.images_per_second:.1f} images/s, one source slow on purpose"),
        ("Webhook", _webhook(report)),
        ("Results", str(report.folder / "results.csv")),
        ("Pictures", f"{report.folder / 'pictures'}, the originals in {report.folder / 'originals'}"),
        ("Compare", Text(str(report.folder / "index.html"), style="cyan")),
    ):
        facts.add_row(f" {name}", value)
    return facts


def _images(report: DemoReport) -> str:
    counts = report.status.counts
    return f"{counts.images} from {len(report.outcomes)} products: {counts.completed} done, {counts.failed} failed"


def _bytes(report: DemoReport) -> Text:
    total = report.status.bytes
    return Text.assemble(
        f"{decimal(total.in_)} → {decimal(total.out)}, ",
        (f"{saved(total.in_, total.out)} saved", "green"),
    )


def _webhook(report: DemoReport) -> Text:
    webhook, delivery = report.webhook, report.delivery
    if webhook is None:
        return Text("none came", style="red")
    attempts = f", attempt {delivery.attempts}" if delivery else ""
    signature = ("signature valid", "green") if webhook.signature_valid else ("signature not valid", "red")
    return Text.assemble(f"{webhook.event} {webhook.webhook_id}{attempts}, ", signature)
