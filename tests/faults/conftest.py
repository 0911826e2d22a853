"""The seed of a run, and the service that tests kill, stop and start again."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deployments.local.service import bring_up
from deployments.local.stack import started_stack
from deployments.local.supervisor import start_supervisor, stop_supervisor
from tests.support.origin import Origin
from tests.support.poison import poisonable_decoder
from tests.support.service import Service, is_ready, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {
    "downloads_per_task": 2,  # so that a job of slow images takes its time
    "download_timeout_seconds": 10.0,
    "webhook_timeout_seconds": 15.0,
    "webhook_retry_seconds": (0.5,) * 100,
    "image_timeout_seconds": 2.0,
    "max_image_memory_bytes": 300_000_000,  # which poison takes within that time, however slow the machine is
}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture(scope="session")
def seed() -> int:
    """Return the seed of all that is left to chance. FAULTS_SEED=... repeats a run."""
    return int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10_000))


@pytest.fixture(autouse=True)
def _print_seed(seed: int, request: pytest.FixtureRequest) -> None:
    print(f"\nFAULTS_SEED={seed}: {request.node.name}")


@pytest.fixture(scope="session")
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with poisonable_decoder(), running_service(tmp_path_factory.mktemp("faults"), **SETTINGS) as running:
        yield running


@pytest.fixture
def own(_started: Service) -> Service:
    """Return a service for faults alone. It runs when a test begins, also after a test that has ended it."""
    home = _started.stack.home
    running = started_stack(home) if is_ready(home.url) else None
    return replace(_started, stack=running or bring_up(_started.given, home, lambda _event: None))


@pytest.fixture
def supervised(own: Service) -> Iterator[Service]:
    """The service as `darkroom up` runs it, so that a dead head is started again."""
    start_supervisor(own.stack.home)
    yield own
    stop_supervisor(own.stack.home)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running
