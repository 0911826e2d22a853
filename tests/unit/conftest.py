"""Unit tests run without Ray: a test that needs it belongs to `tests/integration`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _without_ray(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail a session of unit tests that has imported Ray. With other tests beside them, it may."""
    yield
    if not pytestconfig.pluginmanager.has_plugin("tests.support.fixtures"):
        assert not {"ray"}.intersection(sys.modules), "a unit test imports Ray; `-X importtime` shows which one"
