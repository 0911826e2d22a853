"""The updates of single images as pure functions. Each changes one image, unless it is terminal or a newer writer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymongo import UpdateOne

from cluster.records import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.mongo.connection import Document
    from cluster.records import Attempt, FailedAttempts, Image

UNFINISHED = [Status.PENDING, Status.PROCESSING]
_BATCH_BITS = 32  # of the 63 that a number in MongoDB has
_NOT_IN_RESULTS = {"attempts", "failures", "batch", "duplicate_of"}  # other writes have set these


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The terminal state of one image."""

    row: int
    index: int  # in the row
    image: Image
    key: str | None  # of the stored object


@dataclass(frozen=True, slots=True)
class ImageUpdates:
    """The updates by one writer.

    Args:
        request_id: The request.
        epoch: The coordinator's epoch. Products of another epoch stay as they are.
        batch: The batch, or None for the coordinator itself. Images that a newer batch has begun stay as they are.
    """

    request_id: str
    epoch: int
    batch: int | None = None

    def begin(self, attempt: Attempt) -> UpdateOne:
        """Count an attempt before it is made. The same update again changes nothing."""
        image = f"images.{attempt.index}"
        change = {
            "$max": {f"{image}.attempts": attempt.number},
            "$set": {
                f"{image}.status": Status.PROCESSING,
                f"{image}.batch": self._token,
                "processingStatus": Status.PROCESSING,
            },
        }
        return UpdateOne(self._unfinished(attempt.row, attempt.index), change)

    def release(self, attempt: Attempt) -> UpdateOne:
        """Take back an attempt that was begun and not made."""
        field = f"images.{attempt.index}.attempts"
        query = self._unfinished(attempt.row, attempt.index) | {field: attempt.number}
        return UpdateOne(query, {"$set": {field: attempt.number - 1}})

    def count_failures(self, failed: FailedAttempts) -> UpdateOne:
        """Note how many attempts have failed, at an image that will be tried again."""
        change = {"$set": {f"images.{failed.index}.failures": failed.count}}
        return UpdateOne(self._unfinished(failed.row, failed.index), change)

    def end(self, result: ImageResult) -> UpdateOne:
        """Make an image terminal."""
        fields = result.image.model_dump(exclude=_NOT_IN_RESULTS)
        change = {f"images.{result.index}.{name}": value for name, value in fields.items()}
        change[f"outputImageUrls.{result.index}"] = result.key
        return UpdateOne(self._unfinished(result.row, result.index), {"$set": change})

    def begun_later(self, results: Iterable[ImageResult]) -> list[Document]:
        """Return queries for the images of these results that a newer batch has begun. The coordinator has none."""
        if self.batch is None:
            return []
        return [{"row": each.row, f"images.{each.index}.batch": {"$gt": self._token}} for each in results]

    @property
    def _token(self) -> int | None:
        """A number that grows with every batch of a request, through all its coordinators."""
        return None if self.batch is None else self.epoch << _BATCH_BITS | self.batch

    def _unfinished(self, row: int, index: int) -> Document:
        """Match an image that is not terminal and that no newer batch has begun."""
        query: Document = {
            "requestId": self.request_id,
            "row": row,
            "epoch": self.epoch,
            f"images.{index}.status": {"$in": UNFINISHED},
        }
        return query if self.batch is None else query | {f"images.{index}.batch": {"$not": {"$gt": self._token}}}
