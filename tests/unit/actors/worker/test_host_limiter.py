"""The limits of hosts while Redis is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.worker.host_limiter import FetchLaterError, HostLimiter
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.redis.source_hosts import SourceHosts
from cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "https://shop.example/a.jpg"


@pytest.fixture
async def limiter(unused_tcp_port: int) -> AsyncIterator[HostLimiter]:
    hosts = SourceHosts(Settings(redis_url=f"redis://127.0.0.1:{unused_tcp_port}/0"))
    async with HostLimiter.open(hosts, "batch:", [URL] * 16, at_once=16) as opened:
        yield opened
    await hosts.close()


async def end_turn(limiter: HostLimiter, error: ImageError) -> None:
    async with limiter.turn(URL):
        raise error


async def test_a_silent_name_uses_up_attempts_then_since_nothing_else_would_end_its_images(
    limiter: HostLimiter,
) -> None:
    silent = ImageError(ImageErrorCode.DNS_UNAVAILABLE, "No name server.")
    for _ in range(3):
        with pytest.raises(ImageError):
            await end_turn(limiter, silent)
    with pytest.raises(FetchLaterError):  # the rest of the batch is released, as for any silent host
        await end_turn(limiter, silent)


@pytest.mark.parametrize(
    "answer",
    [
        ImageError(ImageErrorCode.DNS_FAILED, "No such name."),
        ImageError(ImageErrorCode.DNS_UNAVAILABLE, "No name server for the target.", 302),
    ],
)
async def test_a_name_that_does_not_exist_and_a_redirect_are_answers(limiter: HostLimiter, answer: ImageError) -> None:
    for _ in range(5):
        with pytest.raises(ImageError):
            await end_turn(limiter, answer)
