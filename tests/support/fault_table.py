"""The table of all faults of a run, which is printed at its end."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

import pytest

Note: TypeAlias = Callable[[str, float], None]
_PROPERTY = "seconds until work went on after: "


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Return a function that enters a fault and its seconds in the table, if the test passes."""
    return lambda fault, seconds: record_property(_PROPERTY + fault, seconds)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: defaultdict[str, list[float]] = defaultdict(list)
    for report in terminalreporter.getreports("passed"):
        for name, seconds in report.user_properties:
            if name.startswith(_PROPERTY):
                tried[name.removeprefix(_PROPERTY)].append(seconds)
    if tried:
        terminalreporter.section("faults after which nothing was lost")
        terminalreporter.line(f"{'fault':<64}{'times':>6}{'until work went on, median':>28}{'slowest':>10}")
    for fault, seconds in tried.items():
        median = statistics.median(seconds)
        terminalreporter.line(f"{fault:<64}{len(seconds):>6}{median:>26.1f} s{max(seconds):>8.1f} s")
