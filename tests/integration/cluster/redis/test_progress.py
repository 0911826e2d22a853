"""Progress in Redis: each image counts once, and the counters are whole or are not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.identifiers import new_identifier
from cluster.redis.connection import connect_redis
from cluster.redis.progress import CountedImage, Progress
from tests.support.requests import DONE, GONE
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from redis import Redis

    from cluster.settings import Settings


async def test_progress_counts_an_image_once(progress: Progress) -> None:
    request_id = new_identifier("req")
    images = [CountedImage.of(0, DONE), CountedImage.of(1, GONE)]
    assert await progress.read(request_id, 1) is None
    await progress.begin_rebuild(request_id, 1)
    await progress.count(request_id, images)
    await progress.count(request_id, [*images, CountedImage.of(2, DONE)])
    assert await progress.read(request_id, 1) is None
    assert await progress.finish_rebuild(request_id, 1, in_flight=0)
    assert await progress.renew(request_id, 1, in_flight=4)
    found = await progress.read(request_id, 1)
    assert found is not None
    assert found._asdict() == {"completed": 2, "failed": 1, "in_flight": 4, "bytes_in": 200, "bytes_out": 80}
    await progress.forget(request_id)
    assert await progress.read(request_id, 1) is None


async def test_progress_is_not_whole_when_redis_lost_it_during_a_rebuild(progress: Progress, redis: Redis) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, 1)
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    for key in redis.scan_iter(f"*{request_id}*"):
        redis.delete(key)
    await progress.count(request_id, [CountedImage.of(1, DONE)])
    assert not await progress.finish_rebuild(request_id, 1, in_flight=0)
    assert not await progress.renew(request_id, 1, in_flight=0)
    assert await progress.read(request_id, 1) is None


@pytest.mark.parametrize("lost", ["", ":counted"])
async def test_progress_that_lost_one_of_its_keys_is_not_whole(progress: Progress, redis: Redis, lost: str) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, 1)
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    assert await progress.finish_rebuild(request_id, 1, in_flight=0)
    redis.delete(f"darkroom:progress:{request_id}{lost}")
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    assert await progress.read(request_id, 1) is None


async def test_progress_is_whole_only_while_it_is_renewed(progress: Progress) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, 2)
    assert await progress.finish_rebuild(request_id, 2, in_flight=3)
    assert not await progress.renew(request_id, 1, in_flight=0)  # an older coordinator

    async def is_over() -> bool:
        return await progress.read(request_id, 2) is None

    assert not await is_over()
    await wait_until_async(is_over, "nobody renewed it")


async def test_counts_of_an_earlier_coordinator_are_not_read_after_a_retry(progress: Progress) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, 1)
    await progress.count(request_id, [CountedImage.of(0, DONE), CountedImage.of(1, GONE)])
    assert await progress.finish_rebuild(request_id, 1, in_flight=0)
    assert await progress.read(request_id, 2) is None
    await progress.begin_rebuild(request_id, 2, afresh=True)
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    assert await progress.finish_rebuild(request_id, 2, in_flight=1)
    found = await progress.read(request_id, 2)
    assert found is not None
    assert (found.completed, found.failed) == (1, 0)


async def test_an_answer_that_nobody_has_read_is_not_that_to_the_next_question(isolated: Settings) -> None:
    async with connect_redis(isolated) as redis:
        connection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call] # redis-py's
        await connection.send_command("PING", "before")
        await wait_until_async(connection.can_read, "the answer has come")
        await redis.connection_pool.release(connection)
        assert await redis.ping()  # "before" would not count as PONG
