"""Requests and products: what is written once, what is refused, and what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.errors import StaleEpochError
from cluster.mongo.counts import ResultCounts
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ImageResult, ProductStore
from cluster.mongo.requests import RequestStore
from cluster.records import (
    ByteCounts,
    Counts,
    ProcessingRequest,
    Product,
    Status,
)
from tests.support.requests import DONE, GONE, committed, due_delivery, ended, product

if TYPE_CHECKING:
    from cluster.mongo.connection import Database


async def only_product(database: Database, request: ProcessingRequest) -> Product:
    (found,) = await ProductStore(database).page(request.request_id, after_row=0, limit=2)
    return found


async def test_an_attempt_is_counted_before_it_is_made(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    assert await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)], batch=1)
    found = await only_product(database, request)
    assert found.images[0].attempts == 1
    assert found.processing_status is Status.PROCESSING


async def test_a_result_is_written_once(database: Database) -> None:
    request = await committed(database, images=2)
    products = ProductStore(database)
    await products.record_results(request.request_id, request.epoch, [ImageResult(2, 0, DONE, "a")])
    assert (await only_product(database, request)).processing_status is not Status.COMPLETED
    late = [ImageResult(2, 0, GONE, None), ImageResult(2, 1, DONE, "b")]
    await products.record_results(request.request_id, request.epoch, late)
    found = await only_product(database, request)
    assert found.output_image_urls == ["a", "b"]
    assert found.processing_status is Status.COMPLETED
    assert not await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)], batch=1)


async def test_a_product_fails_when_any_of_its_images_does(database: Database) -> None:
    request = await committed(database, images=2)
    results = [ImageResult(2, 0, DONE, "a"), ImageResult(2, 1, GONE, None)]
    await ProductStore(database).record_results(request.request_id, request.epoch, results)
    found = await only_product(database, request)
    assert found.processing_status is Status.FAILED
    assert found.output_image_urls == ["a", None]
    assert await ProductStore(database).unfinished(request.request_id, after_row=0, limit=9) == []


async def test_a_write_of_an_older_coordinator_changes_nothing(database: Database) -> None:
    request = await committed(database)
    requests, products = RequestStore(database), ProductStore(database)
    newer = await requests.claim(request.request_id)
    assert newer is not None
    assert newer.epoch == request.epoch + 1
    await products.take_over(request.request_id, newer.epoch)
    assert not await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)], batch=1)
    await products.record_results(request.request_id, request.epoch, [ImageResult(2, 0, DONE, "a")])
    assert await only_product(database, request) == product(request.request_id, 2).model_copy(
        update={"epoch": newer.epoch}
    )
    with pytest.raises(StaleEpochError):
        await requests.close(request.model_copy(update={"status": Status.COMPLETED}), None)


async def test_closing_and_its_callback_are_one_transaction(database: Database) -> None:
    request = await committed(database)
    requests = RequestStore(database)
    closed = ended(request)
    delivery = due_delivery(closed)
    await requests.close(closed, delivery)
    found = await requests.get(request.request_id)
    assert found is not None
    assert found.status is Status.COMPLETED
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    with pytest.raises(StaleEpochError):
        await requests.close(closed, due_delivery(closed))
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    assert await requests.claim(request.request_id) is None


async def test_images_are_tallied_by_outcome_and_failures_by_code(database: Database) -> None:
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


async def test_a_product_whose_writer_died_half_way_is_settled(database: Database) -> None:
    request = await committed(database)
    await database.products.update_one({"requestId": request.request_id}, {"$set": {"images.0.status": "failed"}})
    assert (await only_product(database, request)).processing_status is Status.PENDING
    await ProductStore(database).settle(request.request_id, request.epoch)
    assert (await only_product(database, request)).processing_status is Status.FAILED


async def test_an_attempt_that_is_begun_again_is_counted_once(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    for _ in range(5):
        assert await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)], batch=1)
    assert (await only_product(database, request)).images[0].attempts == 1


async def test_a_refused_result_is_told(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    results = [ImageResult(2, 0, DONE, "a")]
    await products.take_over(request.request_id, request.epoch + 1)
    assert not await products.record_results(request.request_id, request.epoch, results)
    assert await products.record_results(request.request_id, request.epoch + 1, results)
    assert await products.record_results(request.request_id, request.epoch + 1, results)  # its answer was lost


async def test_a_batch_that_was_taken_for_lost_writes_nothing_once_another_has_begun(database: Database) -> None:
    request = await committed(database)
    products, mine = ProductStore(database), (request.request_id, request.epoch)
    lost, newer = [ImageResult(2, 0, GONE, None)], [ImageResult(2, 0, DONE, "a")]
    assert await products.begin_attempts(*mine, [(2, 0, 1)], batch=1)
    assert await products.begin_attempts(*mine, [(2, 0, 1)], batch=2)
    assert not await products.begin_attempts(*mine, [(2, 0, 2)], batch=1)
    await products.record_failures(*mine, [(2, 0, 1)], batch=1)
    await products.release_attempts(*mine, [(2, 0, 1)], batch=1)
    assert not await products.record_results(*mine, lost, batch=1)
    image = (await only_product(database, request)).images[0]
    assert (image.status, image.attempts, image.failures) == (Status.PROCESSING, 1, 0)
    for _ in range(2):  # its answer was lost
        assert await products.record_results(*mine, newer, batch=2)
    assert not await products.record_results(*mine, lost, batch=1)
    assert (await only_product(database, request)).output_image_urls == ["a"]


async def test_the_batches_of_a_new_coordinator_are_newer_than_all_before(database: Database) -> None:
    request = await committed(database)
    products, epoch = ProductStore(database), request.epoch + 1
    assert await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)], batch=1000)
    await products.take_over(request.request_id, epoch)
    assert await products.begin_attempts(request.request_id, epoch, [(2, 0, 2)], batch=1)
    assert await products.record_results(request.request_id, epoch, [ImageResult(2, 0, DONE, "a")], batch=1)


async def test_a_tally_in_parts_is_that_of_the_whole(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await committed(database, products=9, images=2)
    results = [ImageResult(row, 0, DONE, "a") for row in range(2, 11)] + [
        ImageResult(row, 1, GONE, None) for row in (3, 9)
    ]
    await ProductStore(database).record_results(request.request_id, request.epoch, results)
    tally = ResultCounts(database)
    whole = await tally.count(request.request_id), await tally.failures(request.request_id)
    monkeypatch.setattr("cluster.mongo.products._PART_ROWS", 4)
    assert (await tally.count(request.request_id), await tally.failures(request.request_id)) == whole
    assert (whole[0][0].images, whole[0][0].completed, whole[0][0].failed) == (18, 9, 2)
    assert [(each.count, each.sample_url) for each in whole[1]] == [(2, "https://shop.example/3/1.jpg")]


async def test_a_coordinator_does_not_claim_from_its_successor(database: Database) -> None:
    request = await committed(database)
    requests = RequestStore(database)
    again = await requests.claimed(request.request_id, request.epoch)
    assert again is not None
    assert again.epoch == request.epoch
    successor = await requests.claim(request.request_id)
    assert successor is not None
    with pytest.raises(StaleEpochError):
        await requests.claimed(request.request_id, request.epoch)
    assert await requests.claimed(request.request_id, successor.epoch) is not None


async def test_what_was_reached_is_kept_and_never_lowered(database: Database) -> None:
    request = await committed(database, products=3)
    requests = RequestStore(database)
    for completed in (2, 1):
        counts, byte_counts = Counts(completed=completed), ByteCounts(in_=completed, out=1)
        await requests.keep_reached(request.request_id, request.epoch, counts, byte_counts)
    late = Counts(completed=3)
    await requests.keep_reached(request.request_id, request.epoch - 1, late, ByteCounts(in_=3, out=1))
    found = await requests.get(request.request_id)
    assert found is not None
    assert (found.counts.completed, found.bytes.in_) == (2, 2)
