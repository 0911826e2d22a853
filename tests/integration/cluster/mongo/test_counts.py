"""The images of a request, counted by MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.mongo.counts import ResultCounts
from cluster.mongo.products import ImageResult, ProductStore
from tests.support.requests import DONE, GONE, committed

if TYPE_CHECKING:
    import pytest

    from cluster.mongo.connection import Database


async def test_images_are_counted_by_outcome_and_failures_by_code(database: Database) -> None:
    request = await committed(database, products=3, images=2)
    products = ProductStore(database)
    results = [ImageResult(2, 0, DONE, "a"), ImageResult(2, 1, GONE, None), ImageResult(3, 1, DONE, "b")]
    await products.record_results(request.request_id, request.epoch, results)
    counts, byte_counts = await ResultCounts(database).count(request.request_id)
    assert (counts.products, counts.images, counts.completed, counts.failed) == (3, 6, 2, 1)
    assert (byte_counts.in_, byte_counts.out) == (200, 80)
    (failure,) = await ResultCounts(database).failures(request.request_id)
    assert (failure.code, failure.count) == ("not_found", 1)
    assert failure.sample_url == "https://shop.example/2/1.jpg"


async def test_counts_by_parts_are_those_of_the_whole(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await committed(database, products=9, images=2)
    results = [ImageResult(row, 0, DONE, "a") for row in range(2, 11)] + [
        ImageResult(row, 1, GONE, None) for row in (3, 9)
    ]
    await ProductStore(database).record_results(request.request_id, request.epoch, results)
    counted = ResultCounts(database)
    whole = await counted.count(request.request_id), await counted.failures(request.request_id)
    monkeypatch.setattr("cluster.mongo.products.product_store._PART_ROWS", 4)
    assert (await counted.count(request.request_id), await counted.failures(request.request_id)) == whole
    assert (whole[0][0].images, whole[0][0].completed, whole[0][0].failed) == (18, 9, 2)
    assert [(each.count, each.sample_url) for each in whole[1]] == [(2, "https://shop.example/3/1.jpg")]
