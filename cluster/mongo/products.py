"""The collection `products`: one document a row of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo import ASCENDING, DESCENDING, UpdateOne

from cluster.mongo.connection import Document, mongo_errors
from cluster.records import ByteCounts, Counts, FailureCount, Image, Product, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence

    from cluster.errors import ImageErrorCode
    from cluster.mongo.connection import Database
    from cluster.records import ImageFailure

_UNFINISHED = [Status.PENDING, Status.PROCESSING]
_PAGE_PRODUCTS = 200
_PART_ROWS = 20_000  # far below what MongoDB updates within the time limit of a call

_ALL_IMAGES_TERMINAL: Document = {"images.status": {"$nin": _UNFINISHED}}
_SETTLE: list[Document] = [
    {
        "$set": {
            "processingStatus": {
                "$cond": [{"$in": [Status.FAILED, "$images.status"]}, Status.FAILED, Status.COMPLETED]
            },
        },
    },
]


class ImageResult(NamedTuple):
    """The terminal state of one image."""

    row: int
    position: int  # in the row; `index` is a method of tuples
    image: Image
    key: str | None  # of the stored object


class ProductStore:
    """Reads and fenced writes. A write by a coordinator's epoch that is not the product's own changes nothing.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._products = database.products

    async def insert(self, products: Iterable[Product]) -> None:
        """Write new products; they exist for nobody before their request does."""
        with mongo_errors():
            await self._products.insert_many([product.document() for product in products], ordered=False)

    async def delete(self, request_id: str) -> None:
        """Remove all products of a request."""
        await self._by_parts(request_id, self._products.delete_many)

    async def take_over(self, request_id: str, epoch: int) -> None:
        """Give what is unfinished to a new coordinator; from now on, writes of older ones are refused.

        What was given before a failure stays given, so that a repeat with the same epoch comes to an end.
        """
        query = {"requestId": request_id, "processingStatus": {"$in": _UNFINISHED}, "epoch": {"$lt": epoch}}
        await self._update_by_parts(query, {"$set": {"epoch": epoch}})

    async def unfinished(self, request_id: str, *, after_row: int, limit: int) -> list[Product]:
        """The next products that have images to do, in the order of the file."""
        query = {"requestId": request_id, "processingStatus": {"$in": _UNFINISHED}, "row": {"$gt": after_row}}
        return await self._find(query, limit)

    async def page(self, request_id: str, *, after_row: int, limit: int, status: Status | None = None) -> list[Product]:
        """The next products, in the order of the file."""
        query: Document = {"requestId": request_id, "row": {"$gt": after_row}}
        if status is not None:
            query["processingStatus"] = status
        return await self._find(query, limit)

    async def rows(self, request_id: str, rows: Collection[int]) -> list[Product]:
        """The products of some rows."""
        return await self._find({"requestId": request_id, "row": {"$in": list(rows)}}, len(rows))

    async def pages(
        self, request_id: str, *, statuses: Collection[Status] | None = None
    ) -> AsyncIterator[list[Product]]:
        """All products, or those in some states, in the order of the file; by pages, so that no cursor times out."""
        after_row = 0
        while True:
            query: Document = {"requestId": request_id, "row": {"$gt": after_row}}
            if statuses is not None:
                query["processingStatus"] = {"$in": list(statuses)}
            products = await self._find(query, _PAGE_PRODUCTS)
            if not products:
                return
            yield products
            after_row = products[-1].row

    async def begin_attempts(self, request_id: str, epoch: int, images: Sequence[tuple[int, int, int]]) -> bool:
        """Write `(row, index, attempt)` before it is tried, the same again any number of times.

        Returns:
            False when any was not ours to try: it is terminal, or belongs to a newer epoch.
        """
        if not images:
            return True
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index),
                {
                    "$max": {f"images.{index}.attempts": attempt},
                    "$set": {f"images.{index}.status": Status.PROCESSING, "processingStatus": Status.PROCESSING},
                },
            )
            for row, index, attempt in images
        ]
        with mongo_errors():
            result = await self._products.bulk_write(updates, ordered=False)
        return result.matched_count == len(images)

    async def give_back_attempts(self, request_id: str, epoch: int, images: Sequence[tuple[int, int, int]]) -> None:
        """Take back attempts `(row, index, attempt)` that were begun and not made."""
        if not images:
            return
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index) | {f"images.{index}.attempts": attempt},
                {"$set": {f"images.{index}.attempts": attempt - 1}},
            )
            for row, index, attempt in images
        ]
        with mongo_errors():
            await self._products.bulk_write(updates, ordered=False)

    async def record_results(self, request_id: str, epoch: int, results: Sequence[ImageResult]) -> bool:
        """Write terminal images; one that is already terminal, or belongs to a newer epoch, stays as it is.

        Returns:
            False when a product belongs to a newer epoch.
        """
        if not results:
            return True
        updates = [
            UpdateOne(_unfinished_image(request_id, epoch, row, index), {"$set": _terminal_fields(index, image, key)})
            for row, index, image, key in results
        ]
        rows = sorted({row for row, *_ in results})
        ours = {"requestId": request_id, "row": {"$in": rows}, "epoch": epoch}
        with mongo_errors():
            written = await self._products.bulk_write(updates, ordered=False)
            await self._products.update_many(ours | _ALL_IMAGES_TERMINAL, _SETTLE)
            return written.matched_count == len(results) or await self._products.count_documents(ours) == len(rows)

    async def settle(self, request_id: str, epoch: int) -> None:
        """Close the products whose images are all terminal: what `record_results` does, should it die half-way."""
        query = {"requestId": request_id, "epoch": epoch, "processingStatus": {"$in": _UNFINISHED}}
        with mongo_errors():
            await self._products.update_many(query | _ALL_IMAGES_TERMINAL, _SETTLE)

    async def fail_unfinished(self, request_id: str, epoch: int, failure: ImageFailure) -> None:
        """End every image that is not terminal; of a large request, part after part."""
        failed = {"status": Status.FAILED, "error": failure.document()}
        unfinished = {"$in": ["$$this.status", _UNFINISHED]}
        images = {"$cond": [unfinished, {"$mergeObjects": ["$$this", {"$literal": failed}]}, "$$this"]}
        change = {"images": {"$map": {"input": "$images", "in": images}}, "processingStatus": Status.FAILED}
        query = {"requestId": request_id, "processingStatus": {"$in": _UNFINISHED}, "epoch": epoch}
        await self.settle(request_id, epoch)
        await self._update_by_parts(query, [{"$set": change}])

    async def reopen(self, request_id: str, epoch: int, codes: Collection[ImageErrorCode]) -> None:
        """Make failed images with these codes pending again, the same again any number of times."""
        again = {"$in": ["$$this.error.code", list(codes)]}
        pending = {"$mergeObjects": ["$$this", {"$literal": Image().model_dump(exclude={"repeats"})}]}
        images = {"$cond": [again, pending, "$$this"]}
        change = {
            "images": {"$map": {"input": "$images", "in": images}},
            "processingStatus": Status.PROCESSING,
            "epoch": epoch,
        }
        query = {
            "requestId": request_id,
            "images.status": Status.FAILED,
            "images.error.code": {"$in": list(codes)},
            "epoch": {"$lt": epoch},
        }
        await self._update_by_parts(query, [{"$set": change}])

    async def tally(self, request_id: str) -> tuple[Counts, ByteCounts]:
        """Count the images by outcome; the truth behind the progress in Redis. One pass over the request's products."""
        pipeline: list[Document] = [
            {"$match": {"requestId": request_id}},
            {"$project": {"images": 1}},
            {"$unwind": "$images"},
            {
                "$group": {
                    "_id": "$images.status",
                    "images": {"$sum": 1},
                    "bytesIn": {"$sum": "$images.bytesIn"},
                    "bytesOut": {"$sum": "$images.bytesOut"},
                },
            },
        ]
        with mongo_errors():
            groups = {group["_id"]: group async for group in await self._products.aggregate(pipeline)}
            products = await self._products.count_documents({"requestId": request_id})
        completed, failed = groups.get(Status.COMPLETED, {}), groups.get(Status.FAILED, {})
        counts = Counts(
            rows=products,
            products=products,
            images=sum(group["images"] for group in groups.values()),
            completed=completed.get("images", 0),
            failed=failed.get("images", 0),
        )
        return counts, ByteCounts(in_=completed.get("bytesIn", 0), out=completed.get("bytesOut", 0))

    async def failures(self, request_id: str) -> list[FailureCount]:
        """The failed images by code, the most frequent first. Its cost grows with the failed images only."""
        pipeline: list[Document] = [
            {"$match": {"requestId": request_id, "images.status": Status.FAILED}},
            {"$project": {"images": 1, "inputImageUrls": 1}},
            {"$unwind": {"path": "$images", "includeArrayIndex": "index"}},
            {"$match": {"images.status": Status.FAILED}},
            {
                "$group": {
                    "_id": "$images.error.code",
                    "count": {"$sum": 1},
                    "sampleUrl": {"$first": {"$arrayElemAt": ["$inputImageUrls", {"$toInt": "$index"}]}},
                },
            },
            {"$sort": {"count": -1, "_id": 1}},
            {"$project": {"_id": 0, "code": "$_id", "count": 1, "sampleUrl": 1}},
        ]
        with mongo_errors():
            return [FailureCount.model_validate(group) async for group in await self._products.aggregate(pipeline)]

    async def request_ids(self) -> list[str]:
        """Every request that has products, whether it was committed or not."""
        with mongo_errors():
            groups = await self._products.aggregate([{"$group": {"_id": "$requestId"}}])
            return [group["_id"] async for group in groups]

    async def _update_by_parts(self, query: Document, change: Document | list[Document]) -> None:
        async def update(part: Document) -> None:
            await self._products.update_many(query | part, change)

        await self._by_parts(query["requestId"], update)

    async def _by_parts(self, request_id: str, act: Callable[[Document], Awaitable[object]]) -> None:
        """Do something to many products of one request, as many at once as MongoDB does within the limit of a call."""
        with mongo_errors():
            last = await self._products.find_one({"requestId": request_id}, {"row": 1}, sort=[("row", DESCENDING)])
            for row in range(0, last["row"] + 1 if last else 0, _PART_ROWS):
                await act({"requestId": request_id, "row": {"$gte": row, "$lt": row + _PART_ROWS}})

    async def _find(self, query: Document, limit: int) -> list[Product]:
        with mongo_errors():
            cursor = self._products.find(query).sort("row", ASCENDING).limit(limit)
            return [Product.model_validate(document) async for document in cursor]


def _unfinished_image(request_id: str, epoch: int, row: int, index: int) -> Document:
    return {
        "requestId": request_id,
        "row": row,
        "epoch": epoch,
        f"images.{index}.status": {"$in": _UNFINISHED},
    }


def _terminal_fields(index: int, image: Image, key: str | None) -> dict[str, Any]:
    # `attempts` was counted when the attempt began; what an image repeats is not for a result to say.
    fields = image.model_dump(exclude={"attempts", "repeats"})
    return {f"images.{index}.{name}": value for name, value in fields.items()} | {f"outputImageUrls.{index}": key}
