"""Fixtures with Ray and real servers, which start once for all tests that ask for them.

A `conftest.py` registers this module as a plugin, so that several folders share one service. Unit tests do without.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import ray
from redis import Redis

from actors import registry
from tests.support.service import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.settings import Settings
    from tests.support.service import Service

START_SECONDS = 180
PASSED_ON = ("RAY_", "AWS_", "no_proxy", "NO_PROXY")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the service pays for its start."""
    for item in items:
        if "service" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_SECONDS))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service over HTTP."""
    with running_service(tmp_path_factory.mktemp("darkroom")) as running:
        yield running


@pytest.fixture(scope="session")
def ray_driver(service: Service) -> Iterator[None]:
    """This process as a driver of the service's Ray, with its credentials."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in service.stack.environment.items() if name.startswith(PASSED_ON)})
    ray.init(address="auto", namespace="tests", log_to_driver=False)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def isolated(service: Service, ray_driver: None, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings for a deployment of this module's own, on the same servers: its own database and its own actors."""
    name = request.module.__name__.rpartition(".")[2]
    settings = service.settings.model_copy(update={"mongo_database": name, "ray_namespace": name})
    yield settings
    registry.stop_all(settings)


@pytest.fixture(autouse=True)
def no_key_without_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a key in Redis that never expires."""
    yield
    if "service" in request.fixturenames:
        service: Service = request.getfixturevalue("service")
        with Redis.from_url(service.settings.redis_url) as redis:
            eternal = [key for key in redis.scan_iter() if redis.ttl(key) == -1]
        assert eternal == []
