"""A client and a source of images for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.client import Darkroom
    from tests.support.service import Service


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def darkroom(service: Service) -> Iterator[Darkroom]:
    with service.client() as client:
        yield client
