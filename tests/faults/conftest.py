"""The seed of a run, and the table of all its faults."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Note = Callable[[str, float], None]


class Tried(NamedTuple):
    """One fault that the service came through."""

    fault: str
    seconds: float  # until work went on


TRIED = pytest.StashKey[list[Tried]]()
SEED = "FAULTS_SEED"


def pytest_configure() -> None:
    """One seed for all processes of a run, which inherit it."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10_000)))


def pytest_report_header() -> str:
    return f"{SEED}={os.environ[SEED]}"


@pytest.fixture(scope="session")
def seed() -> int:
    """Of all that is left to chance; FAULTS_SEED=... repeats a run."""
    return int(os.environ[SEED])


@pytest.fixture(autouse=True)
def _print_seed(seed: int, request: pytest.FixtureRequest) -> None:
    print(f"\n{SEED}={seed}: {request.node.name}")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Enters a fault in the table: what it was, and the seconds until work went on; for what lost nothing."""
    tried = request.config.stash.setdefault(TRIED, [])
    return lambda fault, seconds: tried.append(Tried(fault, seconds))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the table to the process that prints it, if this is not the one."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = [tuple(each) for each in session.config.stash.get(TRIED, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - xdist's, which has no types
    """Take in the table of another process."""
    tried = node.config.stash.setdefault(TRIED, [])
    tried += [Tried(*each) for each in getattr(node, "workeroutput", {}).get("tried", [])]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: defaultdict[str, list[float]] = defaultdict(list)
    for each in terminalreporter.config.stash.get(TRIED, []):
        tried[each.fault].append(each.seconds)
    if tried:
        terminalreporter.section(f"faults after which nothing was lost, {SEED}={os.environ[SEED]}")
        terminalreporter.line(f"{'fault':<52}{'times':>6}{'until work went on, median':>28}{'slowest':>10}")
    for fault, seconds in tried.items():
        median = sorted(seconds)[len(seconds) // 2]
        terminalreporter.line(f"{fault:<52}{len(seconds):>6}{median:>26.1f} s{max(seconds):>8.1f} s")
