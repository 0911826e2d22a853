"""A line for every server that starts or stops."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from deployments.local.server import Event

NAMES = {
    "mongod": "MongoDB",
    "redis": "Redis",
    "seaweedfs": "SeaweedFS (S3)",
    "ray": "Ray",
    "darkroom": "Darkroom",
}
STYLES = {"ready": "green", "adopted": "green", "stopped": "green", "failed": "red"}
FINAL = frozenset({"ready", "adopted", "stopped", "failed"})
REFRESHES_PER_SECOND = 8


class ServerProgress:
    """Draws the servers that start or stop, with their seconds. A file gets a line when each has done so.

    Args:
        console: The console to draw on.
        quiet: Draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._events: dict[str, tuple[Event, float]] = {}
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console, get_renderable=self._table, refresh_per_second=REFRESHES_PER_SECOND, transient=False
        )

    def __enter__(self) -> Self:
        if self._drawn:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._live.stop()

    def update(self, event: Event) -> None:
        """Show an event. Any thread may call this."""
        with self._lock:
            self._events[event.server] = (event, time.monotonic())
        if not self._quiet and not self._drawn and event.what in FINAL:
            self._console.print(self._line(event, event.seconds), highlight=False)

    @property
    def _drawn(self) -> bool:
        return self._console.is_terminal and not self._quiet

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        with self._lock:
            for event, at in self._events.values():
                running = event.what not in FINAL
                seconds = event.seconds + (time.monotonic() - at if running else 0)
                table.add_row(self._spinner if running else self._mark(event), self._line(event, seconds))
        return table

    def _mark(self, event: Event) -> Text:
        return Text("✗" if event.what == "failed" else "✓", style=STYLES[event.what])

    def _line(self, event: Event, seconds: float) -> Text:
        word = "was running" if event.what == "adopted" else event.what
        return Text(f"{NAMES.get(event.server, event.server):<16}{word:<12}{seconds:5.1f} s")
