"""What a coordinator reads of a request in a real MongoDB, and when it gives it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.request import feed as module
from actors.request.feed import Feed
from cluster.mongo.products import ProductStore
from tests.support.requests import committed, product

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

RESTING, OTHERS = 100, 30
REST_SECONDS = 300.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def all_ready(feed: Feed) -> list[str]:
    """The URLs of all images that can be done now."""
    found: list[str] = []
    while True:
        await feed.refill(10)
        taken = feed.take(10)
        found += [item.url for item in taken]
        if not (taken or feed.has_more):
            return found


@pytest.mark.parametrize("most", [20, 1_000])
async def test_a_host_that_rests_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING", most)
    monkeypatch.setattr(module, "_PAGE_PRODUCTS", 7)
    request = await committed(database, products=RESTING)
    others = [product(request.request_id, row) for row in range(2 + RESTING, 2 + RESTING + OTHERS)]
    for row in others:
        row.input_image_urls[0] = row.input_image_urls[0].replace("shop", "other")
    products, clock = ProductStore(database), Clock()
    await products.insert(others)
    feed = Feed(products, request.request_id, clock)
    await feed.refill(1)
    (first,) = feed.take(1)
    feed.pause_host(first, REST_SECONDS)
    feed.put_back([first])
    assert await all_ready(feed) == [row.input_image_urls[0] for row in others]
    assert not feed.exhausted
    clock.seconds = REST_SECONDS + 1
    rested = {url for row in range(2, 2 + RESTING) for url in product(request.request_id, row).input_image_urls}
    again = await all_ready(feed)
    assert (set(again), len(again)) == (rested, RESTING)
    assert feed.exhausted


async def test_images_with_a_limit_are_among_no_more_and_keep_it_while_their_host_rests(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING", 2)
    request, clock = await committed(database, products=RESTING), Clock()
    feed = Feed(ProductStore(database), request.request_id, clock)
    await feed.refill(1)
    items = feed.take(4)
    limited = {item.row for item in items}
    feed.put_back(item.among(2) for item in items)
    first, fresh = feed.take(10), RESTING - len(limited)
    assert len(first) == 2
    feed.put_back(first)
    feed.pause_host(first[0], REST_SECONDS)
    assert feed.take(10) == ()
    clock.seconds = REST_SECONDS + 1
    taken = [feed.take(10), feed.take(10)]
    assert [len(each) for each in taken] == [2, 2]
    assert {item.row for each in taken for item in each} == limited
    assert len(await all_ready(feed)) == fresh
