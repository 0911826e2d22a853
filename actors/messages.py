"""Messages between processes: shares, batches of images, and reports of how they ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from cluster.records import Attempt, FailedAttempts, Image, ImageFailure, Status

if TYPE_CHECKING:
    from cluster.errors import ImageError
    from cluster.options import ImageOptions


BATCHES_PER_TASK_SLOT = 2
"""One runs while the next is on its way."""
_MIN_TIME_FRACTION = 0.02


class Share(NamedTuple):
    """The part of the cluster that a request may use."""

    slots: float  # task slots on average; 0 while it may begin nothing
    running: int  # batches that may go on running when others wait for a task slot
    time_fraction: float = 1.0  # with less than one: the part of the time in which it may send batches
    cluster_slots: float = 1.0  # of all requests together

    @property
    def max_batches(self) -> int:
        """The number of batches that may run or wait for a task slot."""
        return max(1, round(BATCHES_PER_TASK_SLOT * self.slots)) if self.slots else 0

    def pause_seconds(self, batch_seconds: float) -> float:
        """Return how long to send nothing after a batch of this length."""
        return batch_seconds * (1 / max(_MIN_TIME_FRACTION, self.time_fraction) - 1)


NO_SHARE = Share(0, 0)


class ShareUpdate(NamedTuple):
    """The message that changes the share of a request."""

    share: Share
    make_room: bool = False  # other requests wait for a task slot, so batches beyond the share end early


class RequestReport(NamedTuple):
    """The progress of a coordinator with a request."""

    images_in_tasks: int
    demand: int | None  # task slots that the request could use now; None while its work has not begun
    images_done: int  # since this coordinator has the request
    waiting_seconds: float  # of the oldest batch that no worker has begun


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One attempt at an image."""

    row: int
    index: int  # in the row
    ordinal: int  # in the request
    url: str
    attempt: int  # its number, from 1
    failures: int = 0  # earlier attempts that are known to have failed
    is_io_bound: bool = False  # its source has kept the CPU slot of a task waiting
    batch_limit: int | None = None  # images in its next batch, since this image may end its worker

    @property
    def tried(self) -> Attempt:
        """The attempt, as it is recorded before it is made."""
        return Attempt(self.row, self.index, self.attempt)

    @property
    def failed(self) -> FailedAttempts:
        """The failures so far, as they are recorded after each."""
        return FailedAttempts(self.row, self.index, self.failures)

    @property
    def lost_attempts(self) -> int:
        """The number of earlier attempts without a known end. Each may have ended its node or its coordinator."""
        return self.attempt - 1 - self.failures

    def is_last(self, max_attempts: int) -> bool:
        """Return whether no other attempt follows when this one fails."""
        return self.failures + 1 >= max_attempts

    def after_failure(self) -> WorkItem:
        """Return the next attempt, after this one has failed."""
        return replace(self, attempt=self.attempt + 1, failures=self.failures + 1)

    def after_loss(self) -> WorkItem:
        """Return the next attempt, after the end of this one was lost."""
        return replace(self, attempt=self.attempt + 1)

    def in_batch_of(self, images: int) -> WorkItem:
        """Return the same attempt with a limit for the size of its batch."""
        return replace(self, batch_limit=images)


class BatchKey(NamedTuple):
    """The key of a batch, unique in the deployment. Keys of one request grow with every batch that is sent."""

    request_id: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one Ray task. They are about as many as keep a task slot busy for a second or two."""

    request_id: str
    owner: str
    epoch: int  # of the coordinator that sent it
    number: int  # of this coordinator's batches
    options: ImageOptions
    items: tuple[WorkItem, ...]
    is_io_bound: bool = False  # waits for its sources as long as it takes, and needs no task slot
    host_downloads: int = 16  # at once from one host: this batch's part of the cluster's limit

    @property
    def key(self) -> BatchKey:
        """The key of this batch."""
        return BatchKey(self.request_id, self.epoch, self.number)


class Stop(Enum):
    """The way in which a batch ends before all its images are done."""

    DRAIN = auto()  # images in the CPU slot are finished, all others are released
    NOW = auto()  # the same, but images that are not finished within a moment are released, too


class Loss(Enum):
    """The way in which a batch was lost without a report."""

    CRASHED = auto()  # its worker crashed
    OUT_OF_MEMORY = auto()  # its worker was ended because its node was short of memory
    OTHER = auto()  # its node is gone, or a worker could not start


class BatchLostError(Exception):
    """A batch was lost.

    Args:
        loss: The way in which it was lost.
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss


class OutcomeKind(Enum):
    """The end of an image in a task."""

    COMPLETED = auto()
    FAILED = auto()
    RETRY = auto()  # a transient error; not before `delay_seconds`
    STORE_AWAY = auto()  # a store was away; no attempt was used up
    RELEASED = auto()  # not tried, or not to the end; not before `delay_seconds`, no attempt was used up


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one image in a task."""

    item: WorkItem
    kind: OutcomeKind
    delay_seconds: float = 0

    @property
    def is_attempt(self) -> bool:
        """Whether the image was tried to the end, so that an attempt was used up."""
        return self.kind in (OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.RETRY)


class Recorded(Enum):
    """The answer to a task that has recorded results."""

    COUNTED = auto()  # in MongoDB, and counted in Redis
    UNCOUNTED = auto()  # in MongoDB alone
    NOT_OURS = auto()  # at least one image is done already, or belongs to a newer coordinator or batch


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The report of a task about its batch."""

    outcomes: tuple[Outcome, ...]
    seconds: float = 0  # from the first download to the last result
    idle_seconds: float = 0  # of these, in which the CPU slot had nothing to do
    recorded: Recorded = Recorded.COUNTED

    @classmethod
    def all(cls, batch: Batch, kind: OutcomeKind) -> BatchReport:
        """Return the report of a batch whose images all ended in the same way."""
        return cls(tuple(Outcome(item, kind) for item in batch.items))

    @classmethod
    def not_ours(cls) -> BatchReport:
        """Return the report of a batch that was refused, because part of it was not the sender's to do."""
        return cls((), recorded=Recorded.NOT_OURS)

    @property
    def terminal(self) -> int:
        """The number of images that are terminal now."""
        return len(self.of(OutcomeKind.COMPLETED)) + len(self.of(OutcomeKind.FAILED))

    @property
    def attempts(self) -> int:
        """The number of attempts that were used up."""
        return sum(outcome.is_attempt for outcome in self.outcomes)

    def of(self, kind: OutcomeKind) -> list[Outcome]:
        """Return the outcomes of one kind."""
        return [outcome for outcome in self.outcomes if outcome.kind is kind]


def failed_image(item: WorkItem, error: ImageError) -> Image:
    """Return the record of an image that failed for good."""
    return Image(
        status=Status.FAILED,
        error=ImageFailure(code=error.code, message=error.message),
        http_status=error.http_status,
        attempts=item.attempt,
        cpu_seconds=error.cpu_seconds,
    )
