"""Stores that you name are checked before anything is started on them."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from cluster.errors import NamedStoreError
from cluster.settings import Settings
from deployments.local.named_stores import check_named_stores, probe_named_stores
from deployments.local.service import bring_up
from tests.integration.deployments.local.servers import NO_RAY

if TYPE_CHECKING:
    from tests.integration.deployments.local.servers import Servers

pytestmark = pytest.mark.timeout(60)


# PyMongo leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("mongo_url", "mongodb://127.0.0.1:{port}"),
        ("redis_url", "redis://127.0.0.1:{port}"),
        ("s3_endpoint_url", "http://127.0.0.1:{port}"),
    ],
)
def test_one_that_is_not_there_is_named_and_nothing_is_started(
    servers: Servers, setting: str, url: str, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    settings = Settings.model_validate({setting: url.format(port=unused_tcp_port)})
    with pytest.raises(NamedStoreError, match="does not answer") as caught:
        bring_up(settings, servers.home, servers.events.append)
    assert f"DARKROOM_{setting.upper()}" in str(caught.value)
    assert str(unused_tcp_port) not in str(caught.value)
    assert servers.events == []
    gc.collect()


def test_an_address_that_is_none_is_told_without_the_password(servers: Servers) -> None:
    with pytest.raises(NamedStoreError, match="must be escaped") as caught:
        bring_up(Settings(mongo_url="mongodb://user:pa@ss@db.example/"), servers.home, servers.events.append)
    assert "pa@ss" not in str(caught.value)


def test_a_direct_connection_is_refused(servers: Servers) -> None:
    with pytest.raises(NamedStoreError, match="directConnection"):
        bring_up(Settings(mongo_url="mongodb://db.example/?directConnection=true"), servers.home, servers.events.append)


def test_those_that_answer_pass(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = servers.start(ray_address=NO_RAY)
    for name, value in stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    asyncio.run(check_named_stores(stack.settings))
    found = asyncio.run(probe_named_stores(stack.settings))
    assert found == [("mongod", None), ("redis", None), ("seaweedfs", None)]
    assert asyncio.run(probe_named_stores(Settings())) == []
