"""The outcomes of a request's images, counted by MongoDB. They are the truth behind the progress in Redis."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cluster.mongo.connection import mongo_errors
from cluster.mongo.products import parts
from cluster.records import ByteCounts, Counts, FailureCount, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.mongo.connection import Database, Document

_BY_STATUS: list[Document] = [
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
_BY_CODE: list[Document] = [
    {"$match": {"images.status": Status.FAILED}},
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
]


class ResultCounts:
    """Counts by parts, so that no request is too large for the time limit of a call.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._products = database.products

    async def count(self, request_id: str) -> tuple[Counts, ByteCounts]:
        """Count the images by outcome, in one pass over the request's products."""
        images, sizes = Counter[str](), Counter[str]()
        async for group in self._groups(request_id, _BY_STATUS):
            images[group["_id"]] += group["images"]
            if group["_id"] == Status.COMPLETED:
                sizes.update({"in_": group["bytesIn"], "out": group["bytesOut"]})
        with mongo_errors():
            products = await self._products.count_documents({"requestId": request_id})
        counts = Counts(
            rows=products,
            products=products,
            images=images.total(),
            completed=images[Status.COMPLETED],
            failed=images[Status.FAILED],
        )
        return counts, ByteCounts(in_=sizes["in_"], out=sizes["out"])

    async def failures(self, request_id: str) -> list[FailureCount]:
        """Count the failed images by code, the most frequent first. Its cost grows with the failed images only."""
        counts, samples = Counter[str](), dict[str, str]()
        async for group in self._groups(request_id, _BY_CODE):
            counts[group["_id"]] += group["count"]
            samples.setdefault(group["_id"], group["sampleUrl"])
        found = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        return [
            FailureCount.model_validate({"code": code, "count": count, "sampleUrl": samples[code]})
            for code, count in found
        ]

    async def _groups(self, request_id: str, stages: list[Document]) -> AsyncIterator[Document]:
        with mongo_errors():
            async for part in parts(self._products, request_id):
                async for group in await self._products.aggregate([{"$match": part}, *stages]):
                    yield group
