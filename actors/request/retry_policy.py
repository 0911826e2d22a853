"""The rules for the next step of an image after its batch. Pure: no clock, no store, no Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.messages import Loss, OutcomeKind
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from actors.messages import BatchReport, WorkItem

_CRASH_MESSAGE = (
    "The worker ended each time that it had this image. Save the image anew in an editor, and send it again."
)
_MAX_ISOLATED_ATTEMPTS = 5  # of a suspect, alone in its batch, after its usual attempts were all lost


class Delayed(NamedTuple):
    """An image whose next attempt is not due yet."""

    item: WorkItem
    seconds: float


class PausedHost(NamedTuple):
    """A host that asked for a pause."""

    url: str  # any of its images
    seconds: float


class Failed(NamedTuple):
    """An image that has failed for good."""

    item: WorkItem
    error: ImageError


@dataclass(frozen=True, slots=True)
class Next:
    """The next step for the images of a batch. Images that are not in it are terminal."""

    put_back: tuple[WorkItem, ...] = ()  # to be done first
    delayed: tuple[Delayed, ...] = ()
    paused_hosts: tuple[PausedHost, ...] = ()
    failed: tuple[Failed, ...] = ()
    backs_off: bool = False  # a store or a worker is away, so send nothing for a while


class Screened(NamedTuple):
    """Images that were about to be sent."""

    to_send: tuple[WorkItem, ...]
    next: Next  # for all others


def after_report(report: BatchReport) -> Next:
    """Return the next step after a task has reported on its batch."""
    retried, away, released = map(report.of, (OutcomeKind.RETRY, OutcomeKind.STORE_AWAY, OutcomeKind.RELEASED))
    return Next(
        put_back=tuple(each.item for each in (*away, *released)),
        delayed=tuple(Delayed(each.item.after_failure(), each.delay_seconds) for each in retried),
        paused_hosts=tuple(PausedHost(each.item.url, each.delay_seconds) for each in released if each.delay_seconds),
        backs_off=bool(away),
    )


def after_loss(
    items: tuple[WorkItem, ...], loss: Loss, *, has_begun: bool, is_overdue: bool, is_stopped: bool, max_attempts: int
) -> Next:
    """Return the next step after a batch was lost.

    A batch whose worker died is halved until the guilty image is alone. Its images stay in batches of that size or
    smaller ones until they are done. So a guilty image ends only a few workers.

    Args:
        items: The images of the batch.
        loss: The way in which it was lost.
        has_begun: A task had begun it.
        is_overdue: The coordinator has ended its worker, because it took too long.
        is_stopped: The coordinator may have ended its worker, because the request stops.
        max_attempts: The number of attempts that may fail.
    """
    if is_stopped and not is_overdue:
        return Next()
    if loss is Loss.OTHER and not is_overdue:
        # One of the images that were begun may have ended the node.
        return Next(put_back=tuple(item.after_loss() for item in items) if has_begun else items, backs_off=True)
    if len(items) > 1:
        return Next(put_back=tuple(item.in_batch_of(len(items) // 2) for item in items))
    (item,) = items
    if item.is_last(max_attempts):
        return Next(failed=(Failed(item, _overdue_error() if is_overdue else _crash_error(loss)),))
    # Ray ends the newest task of a node that is short of memory, guilty or not. A pause gives the node time.
    return Next(put_back=(item.after_failure().in_batch_of(1),), backs_off=loss is Loss.OUT_OF_MEMORY)


def _overdue_error() -> ImageError:
    message = "The image took too long, so its worker was ended. Make it smaller, or send another file."
    return ImageError(ImageErrorCode.TIMEOUT, message)


def _crash_error(loss: Loss) -> ImageError:
    if loss is Loss.OUT_OF_MEMORY:
        message = "The node was short of memory each time that it had this image. Make it smaller, or retry it later."
        return ImageError(ImageErrorCode.OUT_OF_MEMORY, message)
    return ImageError(ImageErrorCode.DECODER_CRASHED, _CRASH_MESSAGE)


def screen(items: Collection[WorkItem], *, max_attempts: int) -> Screened:
    """Keep back suspects: images that were in tasks whenever a node or a coordinator died.

    A suspect is sent alone. It fails when those attempts are lost, too.
    """
    if all(item.lost_attempts < max_attempts for item in items):
        return Screened(tuple(items), Next())
    guilty = [item for item in items if item.lost_attempts >= max_attempts + _MAX_ISOLATED_ATTEMPTS]
    left = [item for item in items if item not in guilty]
    to_isolate = [item for item in left if item.lost_attempts >= max_attempts and item.batch_limit != 1]
    return Screened(
        to_send=tuple(item for item in left if item not in to_isolate),
        next=Next(
            put_back=tuple(item.in_batch_of(1) for item in to_isolate),
            failed=tuple(Failed(item, ImageError(ImageErrorCode.DECODER_CRASHED, _CRASH_MESSAGE)) for item in guilty),
        ),
    )
