"""The table of all faults of a run."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Note = Callable[[str, float], None]


class Tried(NamedTuple):
    """One fault that the service came through."""

    fault: str
    seconds: float  # until work went on


TRIED = pytest.StashKey[list[Tried]]()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Enters a fault in the table: what it was, and the seconds until work went on; for what lost nothing."""
    tried = request.config.stash.setdefault(TRIED, [])
    return lambda fault, seconds: tried.append(Tried(fault, seconds))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: defaultdict[str, list[float]] = defaultdict(list)
    for each in terminalreporter.config.stash.get(TRIED, []):
        tried[each.fault].append(each.seconds)
    if tried:
        terminalreporter.section("faults after which nothing was lost")
        terminalreporter.line(f"{'fault':<52}{'times':>6}{'until work went on, median':>28}{'slowest':>10}")
    for fault, seconds in tried.items():
        median = sorted(seconds)[len(seconds) // 2]
        terminalreporter.line(f"{fault:<52}{len(seconds):>6}{median:>26.1f} s{max(seconds):>8.1f} s")
