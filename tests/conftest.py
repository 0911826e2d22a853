"""The environment of every test, and how `make test` deals tests out to its two workers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

SHARED_SERVICE = ("tests/e2e/", "tests/integration/")

for setting in [name for name in os.environ if name.startswith("DARKROOM_")]:
    del os.environ[setting]  # a developer's settings must not decide how a test ends
logging.getLogger("httpx").setLevel(logging.WARNING)  # or polls would be most of what a failed test shows


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fault_table")


class ByService(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """One worker has all tests that share a service, and another all faults. Unit tests are dealt out by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(SHARED_SERVICE):
            return "the shared service"
        return "faults" if file.startswith("tests/faults/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    """Return the scheduler of a run with several workers."""
    return ByService(config, log)
