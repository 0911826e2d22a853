"""The updates of single images, as plain data."""

from __future__ import annotations

from pymongo import UpdateOne

from cluster.mongo.products.image_updates import ImageResult, ImageUpdates
from cluster.records import Attempt, FailedAttempts, Image, Status

UNFINISHED = {"$in": [Status.PENDING, Status.PROCESSING]}
TOKEN = 3 << 32 | 5
COORDINATOR = {"requestId": "req_1", "row": 2, "epoch": 3, "images.1.status": UNFINISHED}
BATCH = COORDINATOR | {"images.1.batch": {"$not": {"$gt": TOKEN}}}
updates = ImageUpdates("req_1", 3, 5)


def test_an_attempt_is_counted_and_claims_the_image_for_its_batch() -> None:
    assert updates.begin(Attempt(2, 1, 4)) == UpdateOne(
        BATCH,
        {
            "$max": {"images.1.attempts": 4},
            "$set": {
                "images.1.status": Status.PROCESSING,
                "images.1.batch": TOKEN,
                "processingStatus": Status.PROCESSING,
            },
        },
    )


def test_only_the_attempt_that_was_begun_is_released() -> None:
    query = BATCH | {"images.1.attempts": 4}
    assert updates.release(Attempt(2, 1, 4)) == UpdateOne(query, {"$set": {"images.1.attempts": 3}})


def test_failures_are_counted() -> None:
    assert updates.count_failures(FailedAttempts(2, 1, 2)) == UpdateOne(BATCH, {"$set": {"images.1.failures": 2}})


def test_a_result_leaves_fields_of_other_writes() -> None:
    image = Image(status=Status.COMPLETED, bytes_in=100, attempts=1, failures=1, batch=9)
    result = ImageResult(2, 1, image, "key")
    kept = {"attempts", "failures", "batch", "repeats"}
    fields = {f"images.1.{name}": value for name, value in image.document().items() if name not in kept}
    change = {"$set": fields | {"outputImageUrls.1": "key"}}
    assert updates.end(result) == UpdateOne(BATCH, change)
    assert ImageUpdates("req_1", 3).end(result) == UpdateOne(COORDINATOR, change)


def test_only_a_batch_can_be_older_than_another() -> None:
    results = [ImageResult(2, 1, Image(), None)]
    assert updates.begun_later(results) == [{"row": 2, "images.1.batch": {"$gt": TOKEN}}]
    assert ImageUpdates("req_1", 3).begun_later(results) == []


def test_a_batch_of_a_newer_coordinator_is_newer_than_every_one_before() -> None:
    (older,) = ImageUpdates("req_1", 3, 1_000_000).begun_later([ImageResult(2, 1, Image(), None)])
    (newer,) = ImageUpdates("req_1", 4, 1).begun_later([ImageResult(2, 1, Image(), None)])
    assert newer["images.1.batch"]["$gt"] > older["images.1.batch"]["$gt"]
