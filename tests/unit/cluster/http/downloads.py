"""Downloads with small limits from an origin on loopback."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from cluster.errors import ImageError
from cluster.http.download import download
from cluster.http.session import guarded_session
from cluster.settings import Settings

BODY = bytes(range(256)) * 1_000
LIMIT_BYTES = 1_000_000
SETTINGS = Settings(
    allowed_networks=(IPv4Network("127.0.0.1/32"),),
    connect_timeout_seconds=1,
    download_timeout_seconds=5,
    max_image_bytes=LIMIT_BYTES,
    max_redirects=3,
)


async def fetch(url: str, **changes: object) -> bytes:
    settings = SETTINGS.model_copy(update=changes)
    async with guarded_session(settings, max_connections=4) as session:
        return (await download(session, url, settings=settings)).data


async def failure(url: str, **changes: object) -> ImageError:
    with pytest.raises(ImageError) as caught:
        await fetch(url, **changes)
    return caught.value
