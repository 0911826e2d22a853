"""Writes to products and their images, and the writes that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import StaleEpochError
from cluster.mongo.products import FencedWrite, ImageResult, ProductStore
from cluster.mongo.requests import RequestClaims
from cluster.records import Attempt, FailedAttempts, ImageFailure, ProcessingRequest, Product, Status
from tests.support.requests import DONE, GONE, committed, product

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

ACCEPTED, REFUSED = FencedWrite.ACCEPTED, FencedWrite.REFUSED
CANCELLED = ImageFailure(code=ImageErrorCode.CANCELLED, message="Cancelled.")


async def only_product(database: Database, request: ProcessingRequest) -> Product:
    (found,) = await ProductStore(database).page(request.request_id, after_row=0, limit=2)
    return found


async def test_an_attempt_is_counted_before_it_is_made(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    assert await products.begin_attempts(request.request_id, request.epoch, [Attempt(2, 0, 1)], batch=1) is ACCEPTED
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
    assert await products.begin_attempts(request.request_id, request.epoch, [Attempt(2, 0, 1)], batch=1) is REFUSED


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
    claims, products = RequestClaims(database), ProductStore(database)
    newer = await claims.claim(request.request_id)
    assert newer is not None
    assert newer.epoch == request.epoch + 1
    await products.take_over(request.request_id, newer.epoch)
    assert await products.begin_attempts(request.request_id, request.epoch, [Attempt(2, 0, 1)], batch=1) is REFUSED
    await products.record_results(request.request_id, request.epoch, [ImageResult(2, 0, DONE, "a")])
    assert await only_product(database, request) == product(request.request_id, 2).model_copy(
        update={"epoch": newer.epoch}
    )
    with pytest.raises(StaleEpochError):
        await claims.close(request.model_copy(update={"status": Status.COMPLETED}), None)


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
        assert await products.begin_attempts(request.request_id, request.epoch, [Attempt(2, 0, 1)], batch=1) is ACCEPTED
    assert (await only_product(database, request)).images[0].attempts == 1


async def test_a_refused_result_is_told(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    results = [ImageResult(2, 0, DONE, "a")]
    await products.take_over(request.request_id, request.epoch + 1)
    assert await products.record_results(request.request_id, request.epoch, results) is REFUSED
    for _ in range(2):  # its answer was lost
        assert await products.record_results(request.request_id, request.epoch + 1, results) is ACCEPTED


async def test_a_batch_that_was_taken_for_lost_writes_nothing_once_another_has_begun(database: Database) -> None:
    request = await committed(database)
    products, mine = ProductStore(database), (request.request_id, request.epoch)
    lost, newer = [ImageResult(2, 0, GONE, None)], [ImageResult(2, 0, DONE, "a")]
    assert await products.begin_attempts(*mine, [Attempt(2, 0, 1)], batch=1) is ACCEPTED
    assert await products.begin_attempts(*mine, [Attempt(2, 0, 1)], batch=2) is ACCEPTED
    assert await products.begin_attempts(*mine, [Attempt(2, 0, 2)], batch=1) is REFUSED
    await products.record_failures(*mine, [FailedAttempts(2, 0, 1)], batch=1)
    await products.release_attempts(*mine, [Attempt(2, 0, 1)], batch=1)
    assert await products.record_results(*mine, lost, batch=1) is REFUSED
    image = (await only_product(database, request)).images[0]
    assert (image.status, image.attempts, image.failures) == (Status.PROCESSING, 1, 0)
    for _ in range(2):  # its answer was lost
        assert await products.record_results(*mine, newer, batch=2) is ACCEPTED
    assert await products.record_results(*mine, lost, batch=1) is REFUSED
    assert (await only_product(database, request)).output_image_urls == ["a"]


async def test_the_batches_of_a_new_coordinator_are_newer_than_all_before(database: Database) -> None:
    request = await committed(database)
    products, epoch = ProductStore(database), request.epoch + 1
    assert await products.begin_attempts(request.request_id, request.epoch, [Attempt(2, 0, 1)], batch=1000) is ACCEPTED
    await products.take_over(request.request_id, epoch)
    assert await products.begin_attempts(request.request_id, epoch, [Attempt(2, 0, 2)], batch=1) is ACCEPTED
    assert await products.record_results(request.request_id, epoch, [ImageResult(2, 0, DONE, "a")], batch=1) is ACCEPTED


async def test_unfinished_images_fail_and_terminal_ones_stay(database: Database) -> None:
    request, products = await committed(database, products=2, images=2), ProductStore(database)
    await products.record_results(
        request.request_id, 1, [ImageResult(2, 0, DONE, "key"), ImageResult(2, 1, GONE, None)]
    )
    await products.record_results(request.request_id, 1, [ImageResult(3, 1, DONE, "key")])
    for _ in range(2):  # as after a crash half-way
        await products.fail_unfinished(request.request_id, 1, CANCELLED)
    first, second = await products.page(request.request_id, after_row=0, limit=9)
    assert [image.error and image.error.code for image in (*first.images, *second.images)] == [
        None,
        "not_found",
        "cancelled",
        None,
    ]
    assert {first.processing_status, second.processing_status} == {Status.FAILED}
    assert second.output_image_urls == [None, "key"]


async def test_an_older_coordinator_fails_nothing(database: Database) -> None:
    request, products = await committed(database), ProductStore(database)
    await products.take_over(request.request_id, 2)
    await products.fail_unfinished(request.request_id, 1, CANCELLED)
    (product,) = await products.page(request.request_id, after_row=0, limit=9)
    assert product.images[0].status is Status.PENDING


async def test_failed_images_are_opened_again_by_code(database: Database) -> None:
    request, products = await committed(database, products=1, images=3), ProductStore(database)
    await products.record_results(
        request.request_id, 1, [ImageResult(2, 0, DONE, "key"), ImageResult(2, 1, GONE, None)]
    )
    await products.fail_unfinished(request.request_id, 1, CANCELLED)
    for _ in range(2):
        await products.reopen(request.request_id, 2, [ImageErrorCode.CANCELLED])
    (product,) = await products.page(request.request_id, after_row=0, limit=9)
    assert [image.status for image in product.images] == [Status.COMPLETED, Status.FAILED, Status.PENDING]
    assert (product.processing_status, product.epoch) == (Status.PROCESSING, 2)
