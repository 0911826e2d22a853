"""The collection `products`: one document a row of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo import ASCENDING, DESCENDING, UpdateOne

from cluster.mongo.connection import Document, mongo_errors
from cluster.records import Image, Product, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from pymongo.asynchronous.collection import AsyncCollection

    from cluster.codes import ImageErrorCode
    from cluster.mongo.connection import Database
    from cluster.records import ImageFailure

_UNFINISHED = [Status.PENDING, Status.PROCESSING]
_PAGE_PRODUCTS = 200
_BATCH_BITS = 32  # of the 63 that a number in MongoDB has
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
        with mongo_errors():
            async for part in parts(self._products, request_id):
                await self._products.delete_many(part)

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

    async def begin_attempts(
        self, request_id: str, epoch: int, images: Sequence[tuple[int, int, int]], *, batch: int
    ) -> bool:
        """Write `(row, index, attempt)` before it is tried, the same again any number of times.

        Returns:
            False when any was not ours to try: it is terminal, or belongs to a newer epoch or a newer batch.
        """
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index, batch),
                {
                    "$max": {f"images.{index}.attempts": attempt},
                    "$set": {
                        f"images.{index}.status": Status.PROCESSING,
                        f"images.{index}.batch": _token(epoch, batch),
                        "processingStatus": Status.PROCESSING,
                    },
                },
            )
            for row, index, attempt in images
        ]
        return await self._update_images(updates) == len(images)

    async def release_attempts(
        self, request_id: str, epoch: int, images: Sequence[tuple[int, int, int]], *, batch: int
    ) -> None:
        """Take back attempts `(row, index, attempt)` that were begun and not made."""
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index, batch) | {f"images.{index}.attempts": attempt},
                {"$set": {f"images.{index}.attempts": attempt - 1}},
            )
            for row, index, attempt in images
        ]
        await self._update_images(updates)

    async def record_results(
        self, request_id: str, epoch: int, results: Sequence[ImageResult], *, batch: int | None = None
    ) -> bool:
        """Write terminal images; one that is already terminal, or belongs to somebody newer, stays as it is.

        Args:
            request_id: The request.
            epoch: Of the coordinator.
            results: The images.
            batch: Who did them; None for the coordinator itself.

        Returns:
            False when a product belongs to a newer epoch, or an image to a newer batch.
        """
        if not results:
            return True
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index, batch),
                {"$set": _terminal_fields(index, image, key)},
            )
            for row, index, image, key in results
        ]
        rows = sorted({row for row, *_ in results})
        ours = {"requestId": request_id, "row": {"$in": rows}, "epoch": epoch}
        with mongo_errors():
            written = await self._products.bulk_write(updates, ordered=False)
            await self._products.update_many(ours | _ALL_IMAGES_TERMINAL, _SETTLE)
            if written.matched_count == len(results):
                return True
            if await self._products.count_documents(ours) < len(rows):
                return False
            if batch is None:
                return True
            begun_later = {"$gt": _token(epoch, batch)}
            theirs = [{"row": row, f"images.{index}.batch": begun_later} for row, index, *_ in results]
            return await self._products.count_documents(ours | {"$or": theirs}) == 0

    async def record_failures(
        self, request_id: str, epoch: int, images: Sequence[tuple[int, int, int]], *, batch: int
    ) -> None:
        """Write how many attempts `(row, index, failures)` have failed, at images that will be tried again."""
        updates = [
            UpdateOne(
                _unfinished_image(request_id, epoch, row, index, batch),
                {"$set": {f"images.{index}.failures": failures}},
            )
            for row, index, failures in images
        ]
        await self._update_images(updates)

    async def settle(self, request_id: str, epoch: int) -> None:
        """Close the products whose images are all terminal: what `record_results` does, should it die half-way."""
        query = {"requestId": request_id, "epoch": epoch, "processingStatus": {"$in": _UNFINISHED}}
        await self._update_by_parts(query | _ALL_IMAGES_TERMINAL, _SETTLE)

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

    async def request_ids(self) -> list[str]:
        """Every request that has products, whether it was committed or not."""
        with mongo_errors():
            groups = await self._products.aggregate([{"$group": {"_id": "$requestId"}}])
            return [group["_id"] async for group in groups]

    async def _update_images(self, updates: list[UpdateOne]) -> int:
        """Returns how many of them there were."""
        if not updates:
            return 0
        with mongo_errors():
            return (await self._products.bulk_write(updates, ordered=False)).matched_count

    async def _update_by_parts(self, query: Document, change: Document | list[Document]) -> None:
        with mongo_errors():
            async for part in parts(self._products, query["requestId"]):
                await self._products.update_many(query | part, change)

    async def _find(self, query: Document, limit: int) -> list[Product]:
        with mongo_errors():
            cursor = self._products.find(query).sort("row", ASCENDING).limit(limit)
            return [Product.model_validate(document) async for document in cursor]


async def parts(products: AsyncCollection[Document], request_id: str) -> AsyncIterator[Document]:
    """Queries that are all products of a request together, each for as many as MongoDB does within the limit of a call.

    Args:
        products: The collection.
        request_id: The request.
    """
    last = await products.find_one({"requestId": request_id}, {"row": 1}, sort=[("row", DESCENDING)])
    for row in range(0, last["row"] + 1 if last else 0, _PART_ROWS):
        yield {"requestId": request_id, "row": {"$gte": row, "$lt": row + _PART_ROWS}}


def _unfinished_image(request_id: str, epoch: int, row: int, index: int, batch: int | None) -> Document:
    """One that is not terminal, and that nobody newer than this batch has begun."""
    query: Document = {
        "requestId": request_id,
        "row": row,
        "epoch": epoch,
        f"images.{index}.status": {"$in": _UNFINISHED},
    }
    return query if batch is None else query | {f"images.{index}.batch": {"$not": {"$gt": _token(epoch, batch)}}}


def _token(epoch: int, batch: int) -> int:
    """Grows with every batch of a request, whichever coordinator sends it."""
    return epoch << _BATCH_BITS | batch


def _terminal_fields(index: int, image: Image, key: str | None) -> dict[str, Any]:
    # These were written when the attempt began, or are not for a result to say.
    fields = image.model_dump(exclude={"attempts", "failures", "batch", "repeats"})
    return {f"images.{index}.{name}": value for name, value in fields.items()} | {f"outputImageUrls.{index}": key}
