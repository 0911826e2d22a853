"""The application with limits that a test soon reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.app import running_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.settings import Settings
    from tests.support.app import Api


@pytest.fixture(scope="module")
async def api(isolated: Settings) -> AsyncIterator[Api]:
    settings = isolated.model_copy(
        update={"max_upload_bytes": 20_000, "max_queued_images": 5, "max_rows": 50, "allow_http_webhooks": False}
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
async def nothing_stored(api: Api) -> AsyncIterator[None]:
    before = await api.stored()
    yield
    assert await api.stored() == before
