"""The seed of a run."""

from __future__ import annotations

import os
import random

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture(scope="session")
def seed() -> int:
    """Return the seed of all that is left to chance. FAULTS_SEED=... repeats a run."""
    return int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10_000))


@pytest.fixture(autouse=True)
def _print_seed(seed: int, request: pytest.FixtureRequest) -> None:
    print(f"\nFAULTS_SEED={seed}: {request.node.name}")
