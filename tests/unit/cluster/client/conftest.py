"""A client of a server that answers by the API's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.client import Darkroom
from tests.support.contract_server import ContractServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        yield running


@pytest.fixture
def client(server: ContractServer) -> Iterator[Darkroom]:
    with Darkroom(server.url, api_key="dk_test", timeout_seconds=5) as made:
        yield made
