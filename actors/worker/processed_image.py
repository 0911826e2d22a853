"""The end of one attempt at an image: the outcome that is reported, and the result that is recorded. Pure rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.messages import Outcome, OutcomeKind, failed_image
from cluster.mongo.products.image_updates import ImageResult

if TYPE_CHECKING:
    from actors.messages import WorkItem
    from cluster.errors import ImageError
    from cluster.records import Image

_MAX_RETRY_AFTER_SECONDS = 3600.0


class ProcessedImage(NamedTuple):
    """An image after an attempt."""

    outcome: Outcome
    result: ImageResult | None = None  # None while the image is not terminal


def completed(item: WorkItem, image: Image) -> ProcessedImage:
    """Return the end of a successful attempt. Of a single output, the image itself holds everything."""
    first = image.outputs[0]
    if not first.name:
        image = image.model_copy(update={"outputs": []})
    return ProcessedImage(Outcome(item, OutcomeKind.COMPLETED), ImageResult(item.row, item.index, image, first.key))


def after_error(item: WorkItem, error: ImageError, *, max_attempts: int, backoff_seconds: float) -> ProcessedImage:
    """Return the end of a failed attempt. Another attempt follows a transient error, unless it was the last.

    The pause before it is the one that the source asked for, at most an hour, or else the backoff.

    Args:
        item: The attempt.
        error: The reason why it failed.
        max_attempts: The number of attempts that may fail.
        backoff_seconds: The pause if the source asked for none.
    """
    if not error.code.transient or item.is_last(max_attempts):
        result = ImageResult(item.row, item.index, failed_image(item, error), None)
        return ProcessedImage(Outcome(item, OutcomeKind.FAILED), result)
    asked = error.retry_after_seconds
    seconds = backoff_seconds if asked is None else min(asked, _MAX_RETRY_AFTER_SECONDS)
    return ProcessedImage(Outcome(item, OutcomeKind.RETRY, seconds))
