"""The stores, for tests that look at them directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from cluster.identifiers import new_identifier
from cluster.mongo.connection import Database
from cluster.redis.progress import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cluster.settings import Settings


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture
async def database(isolated: Settings) -> AsyncIterator[Database]:
    """A database for one test, because the next action depends on everything in it."""
    name = new_identifier("test")
    async with Database.open(isolated.model_copy(update={"mongo_database": name})) as opened:
        await opened.ensure_indexes()
        yield opened


@pytest.fixture
def redis(isolated: Settings) -> Iterator[Redis]:
    with Redis.from_url(isolated.redis_url) as opened:
        yield opened


@pytest.fixture
async def progress(isolated: Settings) -> AsyncIterator[Progress]:
    opened = Progress(isolated)
    yield opened
    await opened.close()
