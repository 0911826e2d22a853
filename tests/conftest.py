"""The environment of every test, and how `make test` deals tests out to its two workers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

from deployments.local.ray_head import LOOPBACK_ENVIRONMENT

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer


for setting in [name for name in os.environ if name.startswith("DARKROOM_")]:
    del os.environ[setting]  # a developer's settings must not decide how a test ends
os.environ.update({**LOOPBACK_ENVIRONMENT, "RAY_AUTH_MODE": "token"})  # Ray reads them when a test module imports it
logging.getLogger("httpx").setLevel(logging.WARNING)  # or polls would be most of what a failed test shows


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fault_table")


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """One worker has all tests of a whole service, because they share it. All others are dealt out by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.startswith(("tests/unit/", "tests/integration/deployments/local/")) else "a service"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    """Return the scheduler of a run with several workers."""
    return ByServer(config, log)
