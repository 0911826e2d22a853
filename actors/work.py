"""What coordinators and tasks say to each other: batches of work, and reports of what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from cluster.records import Image, ImageFailure, Status

if TYPE_CHECKING:
    from cluster.errors import ImageError
    from cluster.options import ImageOptions


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One image to do."""

    row: int
    index: int  # in the row
    ordinal: int  # in the request
    url: str
    attempt: int  # this one's number, from 1


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one Ray task; about as many as keep a core busy for a second or two."""

    request_id: str
    epoch: int  # of the coordinator that sent it
    options: ImageOptions
    items: tuple[WorkItem, ...]


class Fate(Enum):
    """What became of an image in a task."""

    COMPLETED = auto()
    FAILED = auto()
    RETRY = auto()  # a transient error; not before `delay_seconds`
    DEFERRED = auto()  # a store was away; no attempt was used up


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image in a task."""

    item: WorkItem
    fate: Fate
    delay_seconds: float = 0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch."""

    outcomes: tuple[Outcome, ...]
    seconds: float = 0  # from the first download to the last result
    progress_counted: bool = True  # whether Redis knows of the results
    refused: bool = False  # part of it was not the sender's to do: it is done already, or a newer coordinator's

    def of(self, fate: Fate) -> list[Outcome]:
        """The outcomes of one kind."""
        return [outcome for outcome in self.outcomes if outcome.fate is fate]


def failed_image(item: WorkItem, error: ImageError) -> Image:
    """The record of an image that failed for good."""
    return Image(
        status=Status.FAILED,
        error=ImageFailure(code=error.code, message=error.message),
        http_status=error.http_status,
        attempts=item.attempt,
    )
