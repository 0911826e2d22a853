"""The rules for when a request sends its next batch, and how large it is. Pure: the caller tells the time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actors.messages import NO_SHARE

if TYPE_CHECKING:
    from actors.messages import Batch, BatchReport, Share
    from actors.request.batch_size import BatchSize

_MAKE_ROOM_SECONDS = 0.3  # until the requests that wait have sent batches, since the first batch sent gets a task slot


class Pacing:
    """The sending of one request's batches under its share.

    Args:
        size: The size of its batches.
    """

    def __init__(self, size: BatchSize) -> None:
        self._size = size
        self._share = NO_SHARE
        self._send_not_before = 0.0

    @property
    def share(self) -> Share:
        """The share of the request now."""
        return self._share

    def change_share(self, share: Share) -> None:
        """Use a new share. A larger part of the time ends the pause that a smaller one asked for."""
        if share.time_fraction > self._share.time_fraction:
            self._send_not_before = 0.0
        self._share = share

    def let_others_send(self, now: float) -> None:
        """Send nothing for a moment, after batches of this request have made room.

        Without a share nothing is sent anyway. The next share may be used at once.
        """
        if self._share.max_batches:
            self._pause_until(now + _MAKE_ROOM_SECONDS)

    def learn(self, batch: Batch, report: BatchReport, now: float) -> None:
        """Take a batch into account. A request with part of the time pauses after each."""
        self._size.learn(batch, report)
        if self._share.time_fraction < 1 and not batch.is_io_bound:
            self._pause_until(now + self._share.pause_seconds(min(report.seconds, self._size.seconds)))

    def _pause_until(self, moment: float) -> None:
        self._send_not_before = max(self._send_not_before, moment)

    @property
    def images_to_read(self) -> int:
        """The number of images that should be ready, so that all batches of the share can be sent."""
        return self._size.images * self._share.max_batches

    def may_send(self, cpu_batches: int, now: float) -> bool:
        """Return whether another batch may be sent beside this many."""
        return self._has_room(cpu_batches) and now >= self._send_not_before

    def next_images(self, ready: int) -> int:
        """Return the size of the next batch.

        The last images are spread, so that no task slot idles beside a long batch.

        Args:
            ready: The number of images that could be sent.
        """
        slots = max(1, round(self._share.slots))
        return min(self._size.images, math.ceil(ready / slots))

    def seconds_to_next(self, cpu_batches: int, now: float, *, next_image: float | None) -> float | None:
        """Return how long until a batch can be sent, or None when that needs a report or a new share first.

        Args:
            cpu_batches: The number of batches that hold a task slot or wait for one.
            now: The time.
            next_image: Seconds until an image is due; None when none waits.
        """
        if not self._has_room(cpu_batches):
            return None
        due = [] if next_image is None else [next_image]
        if now < self._send_not_before:
            due.append(self._send_not_before - now)
        return min(due, default=None)

    def _has_room(self, cpu_batches: int) -> bool:
        return cpu_batches < self._share.max_batches
