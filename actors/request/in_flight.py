"""The batches of a request that are in tasks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.messages import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from actors.messages import Batch, BatchReport, Share


class Sent(NamedTuple):
    """A batch on its way to a task."""

    report: Coroutine[Any, Any, BatchReport]
    end_worker: Callable[[], object]  # at once, even in the middle of an image


@dataclass(eq=False, slots=True)
class BatchInFlight:
    """A batch, from its sending until its report is taken in."""

    batch: Batch
    report: asyncio.Task[BatchReport]
    end_worker: Callable[[], object]
    sent_at: float  # of the loop's clock
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    begun_at: float | None = None  # of the loop's clock
    stop: Stop = Stop.DRAIN
    is_overdue: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether a task has begun it. Until then, it waits for a task slot."""
        return self.begun_at is not None


class BatchesInFlight:
    """All batches of a request that are in flight.

    Args:
        send: Sends a batch to a task.
    """

    def __init__(self, send: Callable[[Batch], Sent]) -> None:
        self._send = send
        self._now = asyncio.get_running_loop().time
        self._batches: dict[int, BatchInFlight] = {}  # by the batch's number, in the order in which they were sent

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def images(self) -> int:
        """The number of images in tasks."""
        return sum(len(sent.batch.items) for sent in self._batches.values())

    @property
    def cpu_batches(self) -> int:
        """The number of batches that hold a task slot or wait for one."""
        return sum(not sent.batch.is_io_bound for sent in self._batches.values())

    @property
    def has_io_bound(self) -> bool:
        """Whether a batch waits for its sources."""
        return self.cpu_batches < len(self._batches)

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest batch that no worker has begun has waited."""
        return max((self._now() - each.sent_at for each in self._batches.values() if not each.has_begun), default=0)

    @property
    def reports(self) -> list[asyncio.Task[BatchReport]]:
        """The reports to wait for."""
        return [sent.report for sent in self._batches.values()]

    @property
    def reported(self) -> list[BatchInFlight]:
        """The batches whose reports are there and were not taken in yet."""
        return [sent for sent in self._batches.values() if sent.report.done()]

    def send(self, batch: Batch) -> None:
        """Send a batch."""
        report, end_worker = self._send(batch)
        self._batches[batch.number] = BatchInFlight(batch, asyncio.create_task(report), end_worker, self._now())

    async def wait_for_stop(self, number: int) -> Stop:
        """Note that the task of a batch has begun, and return when the batch is to end early."""
        sent = self._batches.get(number)
        if sent is None:
            return Stop.NOW
        sent.begun_at = self._now()
        await sent.stop_requested.wait()
        return sent.stop

    def remove(self, sent: BatchInFlight) -> None:
        """Forget a batch, after its report was taken in."""
        del self._batches[sent.batch.number]
        sent.stop_requested.set()  # answers a task that still asks

    def make_room(self, share: Share) -> int:
        """Drain the batches beyond a share: all but the oldest that run. Without a share, drain all.

        A request that may send all the time keeps one. Otherwise small requests that come together would end each
        other's batches.

        Returns:
            The number of batches that drain.
        """
        if not share.max_batches:
            self.drain()
            return len(self._batches)
        running = share.running if share.time_fraction < 1 else max(1, share.running)
        candidates = [
            each for each in self._batches.values() if not (each.batch.is_io_bound or each.stop_requested.is_set())
        ]
        begun = [each for each in candidates if each.has_begun]
        ending = [each for each in candidates if each not in begun[:running]]
        for sent in ending:
            sent.stop_requested.set()
        return len(ending)

    def drain(self) -> None:
        """Let all batches finish the images in their CPU slots, and release the others."""
        for sent in self._batches.values():
            sent.stop_requested.set()

    def stop_now(self) -> None:
        """Let all batches end within a moment."""
        for sent in self._batches.values():
            sent.stop = Stop.NOW
        self.drain()

    def end_workers(self) -> None:
        """End the workers of all batches that are left."""
        for sent in self._batches.values():
            sent.end_worker()

    def end_overdue(self, timeout_seconds: float) -> None:
        """End the workers that have been at a batch for too long."""
        for sent in self._batches.values():
            if sent.begun_at is not None and not sent.is_overdue:
                sent.is_overdue = self._now() - sent.begun_at > timeout_seconds
                if sent.is_overdue:
                    sent.end_worker()
