"""The images that a coordinator reads of a request in a real MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.request import feed as module
from actors.request.feed import Feed
from actors.request.image_queue import ImageQueue
from actors.request.retry_policy import Next, PausedHost
from cluster.mongo.products import ImageResult, ProductStore
from tests.support.clock import Clock
from tests.support.requests import DONE, committed, product

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

PAUSED, OTHERS = 100, 30
PAUSE_SECONDS = 300.0


async def all_ready(feed: Feed, queue: ImageQueue) -> list[str]:
    """The URLs of all images that can be done now."""
    found: list[str] = []
    while True:
        await feed.refill(10)
        taken = queue.take(10)
        found += [item.url for item in taken]
        if not (taken or feed.has_more):
            return found


@pytest.mark.parametrize("max_waiting", [20, 1_000])
async def test_a_paused_host_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, max_waiting: int
) -> None:
    monkeypatch.setattr(module, "_PAGE_PRODUCTS", 7)
    request = await committed(database, products=PAUSED)
    others = [product(request.request_id, row) for row in range(2 + PAUSED, 2 + PAUSED + OTHERS)]
    for row in others:
        row.input_image_urls[0] = row.input_image_urls[0].replace("shop", "other")
    products, clock = ProductStore(database), Clock()
    await products.insert(others)
    queue = ImageQueue(clock, max_waiting=max_waiting)
    feed = Feed(products, request.request_id, queue)
    await feed.refill(1)
    (first,) = queue.take(1)
    queue.apply(Next(put_back=(first,), paused_hosts=(PausedHost(first.url, PAUSE_SECONDS),)))
    assert await all_ready(feed, queue) == [row.input_image_urls[0] for row in others]
    assert not feed.is_exhausted
    clock.seconds = PAUSE_SECONDS + 1
    paused = {url for row in range(2, 2 + PAUSED) for url in product(request.request_id, row).input_image_urls}
    again = await all_ready(feed, queue)
    assert (set(again), len(again)) == (paused, PAUSED)
    assert feed.is_exhausted


async def test_images_of_a_refused_batch_are_looked_up_again(database: Database) -> None:
    request, products = await committed(database, products=3), ProductStore(database)
    queue = ImageQueue(Clock())
    feed = Feed(products, request.request_id, queue)
    await feed.refill(3)
    items = tuple(item.in_batch_of(2) for item in queue.take(3))
    await products.record_results(request.request_id, request.epoch, [ImageResult(items[1].row, 0, DONE, "key")])
    assert await feed.unfinished_among(items) == (items[0], items[2])
