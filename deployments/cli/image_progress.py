"""The progress bar of a request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

if TYPE_CHECKING:
    from rich.console import Console

    from cluster.client import RequestStatus

BAR_WIDTH = 32
TEXT = "{task.completed:,.0f}/{task.total:,.0f} images"


class ImageProgress:
    """Draws the images of a request, their speed, the time that is left and the failures. Draws nothing into a file.

    Args:
        console: The console to draw on: standard error when standard output is for results.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn(""),
            SpinnerColumn(finished_text="[green]✓[/]"),
            BarColumn(BAR_WIDTH),
            TextColumn(TEXT),
            TextColumn("[cyan]{task.fields[rate]}"),
            TextColumn("{task.fields[eta]}"),
            TextColumn("[yellow]{task.fields[failed]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._first: tuple[float, int] = (0.0, 0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, status: RequestStatus) -> None:
        """Draw a newer status."""
        counts = status.counts
        now = time.monotonic()
        if self._task is None:
            self._task = self._progress.add_task("", total=counts.images, rate="", eta="", failed="")
            self._first = (now, counts.done)
        self._progress.update(
            self._task,
            completed=counts.done,
            total=counts.images,
            rate=self._rate(now, counts.done),
            eta="" if status.terminal or status.eta_seconds is None else f"{_clock(status.eta_seconds)} left",
            failed=f"{counts.failed:,} failed" if counts.failed else "",
        )

    def _rate(self, now: float, done: int) -> str:
        started, done_before = self._first
        return f"{(done - done_before) / (now - started):.1f} images/s" if now > started and done > done_before else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
