"""The seed of a run, and the table of all its faults."""

from __future__ import annotations

import os
import random
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest import TestReport as Report  # noqa: PT013 - by its own name, pytest would collect it

    Note = Callable[[str, float], None]


class Tried(NamedTuple):
    """One fault that the service came through."""

    fault: str
    seconds: float  # until work went on


TRIED = pytest.StashKey[list[Tried]]()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture(scope="session")
def seed() -> int:
    """Return the seed of all that is left to chance. FAULTS_SEED=... repeats a run."""
    return int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10_000))


@pytest.fixture(autouse=True)
def _print_seed(seed: int, request: pytest.FixtureRequest) -> None:
    print(f"\nFAULTS_SEED={seed}: {request.node.name}")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Return a function that enters a fault and its seconds in the table, if the test passes."""
    tried = request.node.stash.setdefault(TRIED, [])
    return lambda fault, seconds: tried.append(Tried(fault, seconds))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Report, Report]:
    report = yield
    tried = item.stash.get(TRIED, None)
    if tried and call.when == "call" and report.passed:
        item.config.stash.setdefault(TRIED, []).extend(tried)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: defaultdict[str, list[float]] = defaultdict(list)
    for each in terminalreporter.config.stash.get(TRIED, []):
        tried[each.fault].append(each.seconds)
    if tried:
        terminalreporter.section("faults after which nothing was lost")
        terminalreporter.line(f"{'fault':<60}{'times':>6}{'until work went on, median':>28}{'slowest':>10}")
    for fault, seconds in tried.items():
        median = statistics.median(seconds)
        terminalreporter.line(f"{fault:<60}{len(seconds):>6}{median:>26.1f} s{max(seconds):>8.1f} s")
