"""The batches of a request that are with tasks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.messages import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from actors.messages import Batch, BatchReport


class Sent(NamedTuple):
    """A batch on its way to a task."""

    report: Coroutine[Any, Any, BatchReport]
    end_worker: Callable[[], object]  # whatever it is doing


@dataclass(eq=False, slots=True)
class BatchInFlight:
    """A batch, from when it was sent until its report is taken in."""

    batch: Batch
    report: asyncio.Task[BatchReport]
    end_worker: Callable[[], object]
    sent_at: float  # of the loop's clock
    to_end: asyncio.Event = field(default_factory=asyncio.Event)
    begun_at: float | None = None  # the same
    stop: Stop = Stop.DRAIN
    is_overdue: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether a task is at it; else it waits for a core."""
        return self.begun_at is not None


class BatchesInFlight:
    """All in_flight of a request.

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
        """How many images are in tasks."""
        return sum(len(sent.batch.items) for sent in self._batches.values())

    @property
    def cpu_batches(self) -> int:
        """How many have a core or wait for one."""
        return sum(not sent.batch.is_slow for sent in self._batches.values())

    @property
    def has_slow(self) -> bool:
        """Whether one waits for its sources."""
        return self.cpu_batches < len(self._batches)

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest that waits for a worker has waited."""
        return max((self._now() - each.sent_at for each in self._batches.values() if not each.has_begun), default=0)

    @property
    def reports(self) -> list[asyncio.Task[BatchReport]]:
        """What to wait for."""
        return [sent.report for sent in self._batches.values()]

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
        await sent.to_end.wait()
        return sent.stop

    @property
    def reported(self) -> list[BatchInFlight]:
        """Those whose reports are there and were not taken in yet."""
        return [sent for sent in self._batches.values() if sent.report.done()]

    def remove(self, sent: BatchInFlight) -> None:
        """Its report was taken in."""
        del self._batches[sent.batch.number]
        sent.to_end.set()  # answers a task that still asks

    def shrink(self, running: int) -> bool:
        """Let all batches end early but the oldest that run, so many; returns whether that ends any."""
        cpu_batches = [each for each in self._batches.values() if not (each.batch.is_slow or each.to_end.is_set())]
        begun = [each for each in cpu_batches if each.has_begun]
        ending = [each for each in cpu_batches if each not in begun[:running]]
        for sent in ending:
            sent.to_end.set()
        return bool(ending)

    def end_early(self) -> None:
        """Let all give back what has not come to a core, and finish the rest."""
        for sent in self._batches.values():
            sent.to_end.set()

    def stop(self) -> None:
        """Let all end at once."""
        for sent in self._batches.values():
            sent.stop = Stop.NOW
        self.end_early()

    def end_workers(self) -> None:
        """End the workers of all that are left."""
        for sent in self._batches.values():
            sent.end_worker()

    def end_overdue(self, timeout_seconds: float) -> None:
        """End the workers that have been at a batch for too long."""
        for sent in self._batches.values():
            if sent.begun_at is not None and not sent.is_overdue:
                sent.is_overdue = self._now() - sent.begun_at > timeout_seconds
                if sent.is_overdue:
                    sent.end_worker()
