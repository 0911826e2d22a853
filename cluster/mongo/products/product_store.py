"""Reads and writes of products."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from pymongo import ASCENDING, DESCENDING

from cluster.mongo.connection import Document, mongo_errors
from cluster.mongo.products.image_updates import UNFINISHED, ImageResult, ImageUpdates
from cluster.records import Image, Product, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from pymongo import UpdateOne
    from pymongo.asynchronous.collection import AsyncCollection

    from cluster.codes import ImageErrorCode
    from cluster.mongo.connection import Database
    from cluster.records import Attempt, FailedAttempts, ImageFailure

_PAGE_PRODUCTS = 200
_PART_ROWS = 20_000  # far below what MongoDB updates within the time limit of a call

_ALL_IMAGES_TERMINAL: Document = {"images.status": {"$nin": UNFINISHED}}
_SETTLE: list[Document] = [
    {
        "$set": {
            "processingStatus": {
                "$cond": [{"$in": [Status.FAILED, "$images.status"]}, Status.FAILED, Status.COMPLETED]
            },
        },
    },
]


class FencedWrite(Enum):
    """The answer to a write that carries an epoch and a batch."""

    ACCEPTED = auto()
    REFUSED = auto()  # for at least one image; the writer must read again which images are still its own


class ProductStore:
    """Products of a request, and their images. A write with an epoch changes only products of the same epoch.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._products = database.products

    async def insert(self, products: Iterable[Product]) -> None:
        """Write new products. They do not count before their request is committed."""
        with mongo_errors():
            await self._products.insert_many([product.document() for product in products], ordered=False)

    async def delete(self, request_id: str) -> None:
        """Remove all products of a request."""
        with mongo_errors():
            async for part in parts(self._products, request_id):
                await self._products.delete_many(part)

    async def take_over(self, request_id: str, epoch: int) -> None:
        """Give the unfinished products to a new coordinator. From now on, writes of older coordinators are refused.

        After a failure, the same call again gives the rest.
        """
        query = {"requestId": request_id, "processingStatus": {"$in": UNFINISHED}, "epoch": {"$lt": epoch}}
        await self._update_by_parts(query, {"$set": {"epoch": epoch}})

    async def unfinished(self, request_id: str, *, after_row: int, limit: int) -> list[Product]:
        """Return the next products that have images to do, in the order of the file."""
        query = {"requestId": request_id, "processingStatus": {"$in": UNFINISHED}, "row": {"$gt": after_row}}
        return await self._find(query, limit)

    async def page(self, request_id: str, *, after_row: int, limit: int, status: Status | None = None) -> list[Product]:
        """Return the next products, in the order of the file."""
        query: Document = {"requestId": request_id, "row": {"$gt": after_row}}
        if status is not None:
            query["processingStatus"] = status
        return await self._find(query, limit)

    async def rows(self, request_id: str, rows: Collection[int]) -> list[Product]:
        """Return the products of some rows."""
        return await self._find({"requestId": request_id, "row": {"$in": list(rows)}}, len(rows))

    async def pages(
        self, request_id: str, *, statuses: Collection[Status] | None = None
    ) -> AsyncIterator[list[Product]]:
        """Read all products, or those in some states, in the order of the file. Pages let no cursor time out."""
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
        self, request_id: str, epoch: int, attempts: Sequence[Attempt], *, batch: int
    ) -> FencedWrite:
        """Count attempts before they are made. The same call again counts nothing twice.

        Returns:
            Refused when an image is terminal, or belongs to a newer coordinator or batch.
        """
        updates = ImageUpdates(request_id, epoch, batch)
        matched = await self._update_images([updates.begin(each) for each in attempts])
        return FencedWrite.ACCEPTED if matched == len(attempts) else FencedWrite.REFUSED

    async def release_attempts(self, request_id: str, epoch: int, attempts: Sequence[Attempt], *, batch: int) -> None:
        """Take back attempts that were begun and not made."""
        updates = ImageUpdates(request_id, epoch, batch)
        await self._update_images([updates.release(each) for each in attempts])

    async def record_failures(
        self, request_id: str, epoch: int, failed: Sequence[FailedAttempts], *, batch: int
    ) -> None:
        """Write how many attempts have failed, at images that will be tried again."""
        updates = ImageUpdates(request_id, epoch, batch)
        await self._update_images([updates.count_failures(each) for each in failed])

    async def record_results(
        self, request_id: str, epoch: int, results: Sequence[ImageResult], *, batch: int | None = None
    ) -> FencedWrite:
        """Write terminal images. An image that is terminal already stays as it is.

        Args:
            request_id: The request.
            epoch: The coordinator's epoch.
            results: The images.
            batch: The batch that did them, or None for the coordinator itself.

        Returns:
            Refused when a product belongs to a newer coordinator, or an image to a newer batch. An image that was
            terminal already is no reason: the answer to an earlier call may have been lost.
        """
        if not results:
            return FencedWrite.ACCEPTED
        updates = ImageUpdates(request_id, epoch, batch)
        rows = sorted({each.row for each in results})
        ours = {"requestId": request_id, "row": {"$in": rows}, "epoch": epoch}
        with mongo_errors():
            matched = await self._update_images([updates.end(each) for each in results])
            await self._products.update_many(ours | _ALL_IMAGES_TERMINAL, _SETTLE)
            if matched == len(results):
                return FencedWrite.ACCEPTED
            if await self._products.count_documents(ours) < len(rows):
                return FencedWrite.REFUSED
            theirs = updates.begun_later(results)
            if theirs and await self._products.count_documents(ours | {"$or": theirs}):
                return FencedWrite.REFUSED
        return FencedWrite.ACCEPTED

    async def settle(self, request_id: str, epoch: int) -> None:
        """Set the status of products whose images are all terminal, as after a `record_results` that died half-way."""
        query = {"requestId": request_id, "epoch": epoch, "processingStatus": {"$in": UNFINISHED}}
        await self._update_by_parts(query | _ALL_IMAGES_TERMINAL, _SETTLE)

    async def fail_unfinished(self, request_id: str, epoch: int, failure: ImageFailure) -> None:
        """Fail every image that is not terminal."""
        failed = {"status": Status.FAILED, "error": failure.document()}
        unfinished = {"$in": ["$$this.status", UNFINISHED]}
        images = {"$cond": [unfinished, {"$mergeObjects": ["$$this", {"$literal": failed}]}, "$$this"]}
        change = {"images": {"$map": {"input": "$images", "in": images}}, "processingStatus": Status.FAILED}
        query = {"requestId": request_id, "processingStatus": {"$in": UNFINISHED}, "epoch": epoch}
        await self.settle(request_id, epoch)
        await self._update_by_parts(query, [{"$set": change}])

    async def reopen(self, request_id: str, epoch: int, codes: Collection[ImageErrorCode]) -> None:
        """Make failed images with these codes pending again. The same call again changes nothing."""
        again = {"$in": ["$$this.error.code", list(codes)]}
        pending = {"$mergeObjects": ["$$this", {"$literal": Image().model_dump(exclude={"duplicate_of"})}]}
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
        """Return every request that has products, whether it was committed or not."""
        with mongo_errors():
            groups = await self._products.aggregate([{"$group": {"_id": "$requestId"}}])
            return [group["_id"] async for group in groups]

    async def _update_images(self, updates: list[UpdateOne]) -> int:
        """Return how many of the updates have found their image."""
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
    """Yield queries that together match all products of a request. Each stays within the time limit of a call."""
    last = await products.find_one({"requestId": request_id}, {"row": 1}, sort=[("row", DESCENDING)])
    for row in range(0, last["row"] + 1 if last else 0, _PART_ROWS):
        yield {"requestId": request_id, "row": {"$gte": row, "$lt": row + _PART_ROWS}}
