"""What coordinators and tasks say to each other: batches of work, and reports of what became of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from cluster.records import Attempt, FailedAttempts, Image, ImageFailure, Status

if TYPE_CHECKING:
    from cluster.errors import ImageError
    from cluster.options import ImageOptions


_BATCHES_PER_SLOT = 2  # one runs while the next is on its way
_MIN_TIME_FRACTION = 0.02


class Share(NamedTuple):
    """How much of the cluster a request may use."""

    slots: float  # on average; 0 while it may begin nothing
    running: int  # batches that may go on running when others wait for a slot
    time_fraction: float = 1.0  # with less than a slot: the part of the time in which it may send batches
    cluster_slots: float = 1.0  # of all requests together

    @property
    def max_batches(self) -> int:
        """How many batches may run or wait for a core."""
        return max(1, round(_BATCHES_PER_SLOT * self.slots)) if self.slots else 0

    def pause_seconds(self, batch_seconds: float) -> float:
        """How long to send nothing after a batch of that length."""
        return batch_seconds * (1 / max(_MIN_TIME_FRACTION, self.time_fraction) - 1)


NO_SHARE = Share(0, 0)


class RequestReport(NamedTuple):
    """Where a coordinator is with a request."""

    images_in_tasks: int
    demand: int | None  # task slots that the request could use now; None while its work has not begun
    images_done: int  # since this coordinator has the request
    waiting_seconds: float  # of the oldest batch that no worker has begun


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One image to do."""

    row: int
    index: int  # in the row
    ordinal: int  # in the request
    url: str
    attempt: int  # this one's number, from 1
    failures: int = 0  # of those before it, whose bad end is known
    is_slow: bool = False  # its source has kept a core waiting
    batch_limit: int | None = None  # images in its next batch, since it may be the one that ends its worker

    @property
    def tried(self) -> Attempt:
        """The attempt, as it is recorded before it is made."""
        return Attempt(self.row, self.index, self.attempt)

    @property
    def failed(self) -> FailedAttempts:
        """The failures so far, as they are recorded after each."""
        return FailedAttempts(self.row, self.index, self.failures)

    @property
    def unknown_ends(self) -> int:
        """Attempts, this one among them, whose end nobody has told: it may have been that of their node."""
        return self.attempt - self.failures

    @property
    def again(self) -> WorkItem:
        """The next attempt, after one that has failed."""
        return replace(self, attempt=self.attempt + 1, failures=self.failures + 1)

    @property
    def after_unknown_end(self) -> WorkItem:
        """The next attempt, after one of which nobody knows how it ended."""
        return replace(self, attempt=self.attempt + 1)

    def among(self, images: int) -> WorkItem:
        """The same, for a batch of at most so many."""
        return replace(self, batch_limit=images)


class BatchKey(NamedTuple):
    """Tells a batch from all others of the deployment; of one request's, a later one is larger."""

    request_id: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one Ray task; about as many as keep a core busy for a second or two."""

    request_id: str
    owner: str
    epoch: int  # of the coordinator that sent it
    number: int  # of this coordinator's batches
    options: ImageOptions
    items: tuple[WorkItem, ...]
    is_slow: bool = False  # waits for its sources as long as it takes, and owns no core
    host_downloads: int = 16  # at once from one host: this batch's share of what the cluster may

    @property
    def key(self) -> BatchKey:
        """Tells it from all other batches of the deployment."""
        return BatchKey(self.request_id, self.epoch, self.number)


class Loss(Enum):
    """How a batch was lost, without any report."""

    CRASHED = auto()  # its worker
    OUT_OF_MEMORY = auto()  # its worker
    OTHER = auto()  # its node is gone, or a worker could not start


class BatchLostError(Exception):
    """A batch was lost.

    Args:
        loss: How.
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss


class OutcomeKind(Enum):
    """What became of an image in a task."""

    COMPLETED = auto()
    FAILED = auto()
    RETRY = auto()  # a transient error; not before `delay_seconds`
    STORE_AWAY = auto()  # a store was away; no attempt was used up
    RELEASED = auto()  # not tried, or not to the end; not before `delay_seconds`, no attempt was used up


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image in a task."""

    item: WorkItem
    fate: OutcomeKind
    delay_seconds: float = 0

    @property
    def is_done(self) -> bool:
        """Whether it was tried to the end."""
        return self.fate in (OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.RETRY)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch."""

    outcomes: tuple[Outcome, ...]
    seconds: float = 0  # from the first download to the last result
    idle_seconds: float = 0  # of these, in which the core had nothing to do
    progress_counted: bool = True  # whether Redis knows of the results
    refused: bool = False  # part of it was not the sender's to do: it is done already, or a newer coordinator's

    @classmethod
    def all(cls, batch: Batch, fate: OutcomeKind) -> BatchReport:
        """The same became of every image."""
        return cls(tuple(Outcome(item, fate) for item in batch.items))

    @property
    def ended(self) -> int:
        """How many images came to their ends."""
        return len(self.of(OutcomeKind.COMPLETED)) + len(self.of(OutcomeKind.FAILED))

    @property
    def done(self) -> int:
        """How many images were tried to the end."""
        return sum(outcome.is_done for outcome in self.outcomes)

    def of(self, fate: OutcomeKind) -> list[Outcome]:
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
