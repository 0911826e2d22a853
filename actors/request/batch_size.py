"""The number of images in the next batch, learnt from earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.messages import Batch, BatchReport
    from cluster.settings import Settings

_FIRST_IMAGE_SECONDS = 0.05  # before anything was measured
_WEIGHT = 0.3  # of the latest batch
_MAX_IDLE_PART = 0.08  # of a batch, in which its first images are on their way and the CPU slot has nothing to do
_LONGEST = 4  # times `batch_seconds`


class BatchSize:
    """A batch holds `batch_seconds` of work, and more of it when the sources are far away.

    Args:
        settings: `batch_seconds` and `max_batch_images`.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_images = settings.max_batch_images
        self._usual_seconds = settings.batch_seconds
        self._image_seconds = _FIRST_IMAGE_SECONDS
        self._idle_seconds = 0.0

    @property
    def seconds(self) -> float:
        """The time that the next batch should take."""
        return min(max(self._usual_seconds, self._idle_seconds / _MAX_IDLE_PART), _LONGEST * self._usual_seconds)

    @property
    def images(self) -> int:
        """The number of images that the next batch should have."""
        return max(1, min(self._max_images, int(self.seconds / self._image_seconds)))

    def learn(self, batch: Batch, report: BatchReport) -> None:
        """Take a batch into account, if it had a task slot and used up an attempt."""
        if batch.is_io_bound or not report.attempts:
            return
        self._image_seconds += _WEIGHT * (report.seconds / report.attempts - self._image_seconds)
        self._idle_seconds += _WEIGHT * (report.idle_seconds - self._idle_seconds)
