"""The stores on real servers: what is written once, what is refused, and what is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from cluster.errors import ImageErrorCode, StaleEpochError
from cluster.identifiers import new_identifier
from cluster.mongo.connection import Database
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ImageResult, ProductStore
from cluster.mongo.requests import RequestStore
from cluster.progress import CountedImage, Progress
from cluster.records import (
    ByteCounts,
    Counts,
    Delivery,
    DeliveryResponse,
    DeliveryState,
    Image,
    ImageFailure,
    ProcessingRequest,
    Product,
    Status,
    utc_now,
)
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cluster.settings import Settings

DONE = Image(status=Status.COMPLETED, bytes_in=100, bytes_out=40)
GONE = Image(status=Status.FAILED, error=ImageFailure(code=ImageErrorCode.NOT_FOUND, message="404."))


@pytest.fixture
async def database(isolated: Settings) -> AsyncIterator[Database]:
    """A database of this test's own, because what is next to do depends on all that is in it."""
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


def product(request_id: str, row: int, images: int = 1) -> Product:
    return Product(
        request_id=request_id,
        row=row,
        serial_number=row,
        product_name=f"Product {row}",
        input_image_urls=[f"https://shop.example/{row}/{index}.jpg" for index in range(images)],
        output_image_urls=[None] * images,
        images=[Image()] * images,
        cells=[],
        first_image=(row - 2) * images,
    )


async def committed(database: Database, *, products: int = 1, images: int = 1, **fields: object) -> ProcessingRequest:
    """A request that was accepted and admitted, and whose coordinator has claimed it."""
    request = ProcessingRequest.model_validate(
        {
            "request_id": new_identifier("req"),
            "owner": "key",
            "created_at": utc_now(),
            "columns": [],
            "url_column": 0,
            "fingerprint": "0",
            "counts": Counts(products=products, images=products * images),
            **fields,
        }
    )
    store = RequestStore(database)
    await ProductStore(database).insert(product(request.request_id, row, images) for row in range(2, 2 + products))
    await store.commit(request)
    assert await store.admit_next() == request.request_id
    claimed = await store.claim(request.request_id)
    assert claimed is not None
    await ProductStore(database).take_over(request.request_id, claimed.epoch)
    return claimed


async def only_product(database: Database, request: ProcessingRequest) -> Product:
    (found,) = await ProductStore(database).page(request.request_id, after_row=0, limit=2)
    return found


async def test_an_attempt_is_counted_before_it_is_made(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    assert await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)])
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
    assert not await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)])


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
    assert not await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)])
    await products.record_results(request.request_id, request.epoch, [ImageResult(2, 0, DONE, "a")])
    assert await only_product(database, request) == product(request.request_id, 2).model_copy(
        update={"epoch": newer.epoch}
    )
    with pytest.raises(StaleEpochError):
        await requests.close(request.model_copy(update={"status": Status.COMPLETED}), None)


async def test_closing_and_its_callback_are_one_transaction(database: Database) -> None:
    request = await committed(database)
    requests = RequestStore(database)
    closed = request.model_copy(update={"status": Status.COMPLETED, "completed_at": utc_now()})
    delivery = due_delivery(request.request_id)
    await requests.close(closed, delivery)
    found = await requests.get(request.request_id)
    assert found is not None
    assert found.status is Status.COMPLETED
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    with pytest.raises(StaleEpochError):
        await requests.close(closed, due_delivery(request.request_id))
    assert await Outbox(database).of_request(request.request_id) == [delivery]
    assert await requests.claim(request.request_id) is None


async def test_the_highest_priority_is_admitted_first_then_the_oldest(database: Database) -> None:
    requests = RequestStore(database)
    made: dict[str, str] = {}
    for name, priority in (("old", 5), ("urgent", 9), ("young", 5), ("idle", 0)):
        request = ProcessingRequest(
            request_id=new_identifier("req"),
            owner="key",
            created_at=utc_now() + timedelta(seconds=len(made)),
            priority=priority,
            columns=[],
            url_column=0,
            fingerprint="0",
        )
        await requests.commit(request)
        made[request.request_id] = name
    admitted = [await requests.admit_next() for _ in range(5)]
    assert [made.get(each or "") for each in admitted] == ["urgent", "old", "young", "idle", None]
    for request_id in made:
        claimed = await requests.claim(request_id)
        assert claimed is not None
        await requests.close(claimed.model_copy(update={"status": Status.COMPLETED}), None)


async def test_images_are_tallied_by_outcome_and_failures_by_code(database: Database) -> None:
    request = await committed(database, products=3, images=2)
    products = ProductStore(database)
    results = [ImageResult(2, 0, DONE, "a"), ImageResult(2, 1, GONE, None), ImageResult(3, 1, DONE, "b")]
    await products.record_results(request.request_id, request.epoch, results)
    counts, byte_counts = await products.tally(request.request_id)
    assert (counts.products, counts.images, counts.completed, counts.failed) == (3, 6, 2, 1)
    assert (byte_counts.in_, byte_counts.out) == (200, 80)
    (failure,) = await products.failures(request.request_id)
    assert (failure.code, failure.count) == ("not_found", 1)
    assert failure.sample_url == "https://shop.example/2/1.jpg"


async def test_progress_counts_an_image_once(progress: Progress) -> None:
    request_id = new_identifier("req")
    images = [CountedImage.of(0, DONE), CountedImage.of(1, GONE)]
    assert await progress.read(request_id) is None
    await progress.begin_rebuild(request_id, "1")
    await progress.count(request_id, images)
    await progress.count(request_id, [*images, CountedImage.of(2, DONE)])
    assert await progress.read(request_id) is None
    assert await progress.finish_rebuild(request_id, "1", in_flight=0)
    assert await progress.renew(request_id, "1", in_flight=4)
    found = await progress.read(request_id)
    assert found is not None
    assert found._asdict() == {"completed": 2, "failed": 1, "in_flight": 4, "bytes_in": 200, "bytes_out": 80}
    await progress.forget(request_id)
    assert await progress.read(request_id) is None


def due_delivery(request_id: str) -> Delivery:
    now = utc_now()
    return Delivery(
        delivery_id=new_identifier("msg"),
        request_id=request_id,
        url="https://shop.example/hook",
        secret="encrypted",
        event="request.completed",
        payload="{}",
        next_attempt_at=now,
        created_at=now,
    )


async def test_a_delivery_is_claimed_by_one_and_due_again_when_its_claimer_dies(database: Database) -> None:
    request = await committed(database)
    outbox = Outbox(database)
    delivery = due_delivery(request.request_id)
    await RequestStore(database).close(request.model_copy(update={"status": Status.COMPLETED}), delivery)
    claimed = await outbox.claim_due(lease_seconds=0.5)
    assert claimed is not None
    assert (claimed.delivery_id, claimed.attempts) == (delivery.delivery_id, 1)
    assert await outbox.claim_due(lease_seconds=60) is None
    again: list[Delivery | None] = []

    async def is_due_again() -> bool:
        again.append(await outbox.claim_due(lease_seconds=60))
        return again[-1] is not None

    await wait_until_async(is_due_again, "the lease has ended")
    assert again[-1] is not None
    assert (again[-1].delivery_id, again[-1].attempts) == (delivery.delivery_id, 2)


async def test_a_delivered_callback_is_told_on_its_request(database: Database) -> None:
    target = {"url": "https://shop.example/hook", "secret": "encrypted"}
    request = await committed(database, webhook=target)
    outbox, requests = Outbox(database), RequestStore(database)
    await requests.close(request.model_copy(update={"status": Status.COMPLETED}), due_delivery(request.request_id))
    claimed = await outbox.claim_due(lease_seconds=60)
    assert claimed is not None
    response = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    await outbox.record_attempt(claimed, response, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    found = await requests.get(request.request_id)
    assert found is not None
    assert found.webhook is not None
    assert (found.webhook.triggered, found.webhook.attempts) == (True, 1)
    (told,) = await outbox.of_request(request.request_id)
    assert (told.state, told.responses) == ("delivered", [response])
    again = await outbox.redeliver(request.request_id, told.delivery_id)
    assert again is not None
    assert (again.state, again.attempts, again.delivery_id) == ("pending", 0, told.delivery_id)
    assert await outbox.redeliver("req_other", told.delivery_id) is None


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
        assert await products.begin_attempts(request.request_id, request.epoch, [(2, 0, 1)])
    assert (await only_product(database, request)).images[0].attempts == 1


async def test_a_refused_result_is_told(database: Database) -> None:
    request = await committed(database)
    products = ProductStore(database)
    results = [ImageResult(2, 0, DONE, "a")]
    await products.take_over(request.request_id, request.epoch + 1)
    assert not await products.record_results(request.request_id, request.epoch, results)
    assert await products.record_results(request.request_id, request.epoch + 1, results)
    assert await products.record_results(request.request_id, request.epoch + 1, results)  # its answer was lost


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
        await requests.keep_reached(request.request_id, Counts(completed=completed), ByteCounts(in_=completed, out=1))
    found = await requests.get(request.request_id)
    assert found is not None
    assert (found.counts.completed, found.bytes.in_) == (2, 2)


async def test_progress_is_not_whole_when_redis_lost_it_during_a_rebuild(progress: Progress, redis: Redis) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, "1")
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    for key in redis.scan_iter(f"*{request_id}*"):
        redis.delete(key)
    await progress.count(request_id, [CountedImage.of(1, DONE)])
    assert not await progress.finish_rebuild(request_id, "1", in_flight=0)
    assert not await progress.renew(request_id, "1", in_flight=0)
    assert await progress.read(request_id) is None


@pytest.mark.parametrize("lost", ["", ":counted"])
async def test_progress_that_lost_one_of_its_keys_is_not_whole(progress: Progress, redis: Redis, lost: str) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, "1")
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    assert await progress.finish_rebuild(request_id, "1", in_flight=0)
    redis.delete(f"darkroom:progress:{request_id}{lost}")
    await progress.count(request_id, [CountedImage.of(0, DONE)])
    assert await progress.read(request_id) is None


async def test_progress_is_whole_only_while_it_is_renewed(progress: Progress) -> None:
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, "2")
    assert await progress.finish_rebuild(request_id, "2", in_flight=3)
    assert not await progress.renew(request_id, "1", in_flight=0)  # an older coordinator

    async def is_over() -> bool:
        return await progress.read(request_id) is None

    assert not await is_over()
    await wait_until_async(is_over, "nobody renewed it")


async def test_an_attempt_that_ends_late_leaves_the_state_to_the_later_one(database: Database) -> None:
    request = await committed(database, webhook={"url": "https://shop.example/hook", "secret": "encrypted"})
    outbox = Outbox(database)
    delivery = due_delivery(request.request_id)
    await RequestStore(database).close(request.model_copy(update={"status": Status.COMPLETED}), delivery)
    first = await outbox.claim_due(lease_seconds=60)
    await outbox.redeliver(request.request_id, delivery.delivery_id)
    second = await outbox.claim_due(lease_seconds=60)
    assert first is not None
    assert second is not None
    good = DeliveryResponse(at=utc_now(), http_status=204, duration_seconds=0.1)
    late = DeliveryResponse(at=utc_now(), error="no answer", duration_seconds=15)
    await outbox.record_attempt(second, good, state=DeliveryState.DELIVERED, next_attempt_at=utc_now())
    await outbox.record_attempt(first, late, state=DeliveryState.PENDING, next_attempt_at=utc_now())
    (found,) = await outbox.of_request(request.request_id)
    assert found.state is DeliveryState.DELIVERED
    assert found.responses == [good, late]
    assert await outbox.claim_due(lease_seconds=60) is None
