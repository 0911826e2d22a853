"""Folders with real servers, of which nothing is left after the test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deployments.local import Home
from tests.integration.deployments.local.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeServers = Callable[[str], Servers]


@pytest.fixture(autouse=True, scope="package")
def _no_settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DARKROOM_", "AWS_", "RAY_"))]:
            patch.delenv(name)
        yield


@pytest.fixture
def make_servers(tmp_path: Path) -> Iterator[MakeServers]:
    made: list[Servers] = []

    def make(name: str) -> Servers:
        servers = Servers(Home(tmp_path / name / ".darkroom"))
        made.append(servers)
        return servers

    yield make
    for servers in made:
        servers.stop()


@pytest.fixture
def servers(make_servers: MakeServers) -> Servers:
    return make_servers("servers")
