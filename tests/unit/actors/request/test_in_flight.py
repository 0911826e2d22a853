"""The batches of a request in tasks, and how they are told to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors.messages import NO_SHARE, BatchReport, Share, Stop
from actors.request.in_flight import BatchesInFlight, Sent
from tests.support.batches import batch_of, work_items

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.messages import Batch

LITTLE = Share(0.01, 0, time_fraction=0.01)
IO_BOUND = 9


class Tasks:
    """Batches in flight, whose tasks begin when the test says so."""

    def __init__(self) -> None:
        self.in_flight = BatchesInFlight(self._send)
        self.ended: list[int] = []  # the batches whose workers were ended
        self.asking: dict[int, asyncio.Task[Stop]] = {}

    def _send(self, batch: Batch) -> Sent:
        async def report() -> BatchReport:
            await asyncio.Event().wait()
            raise AssertionError

        return Sent(report(), lambda: self.ended.append(batch.number))

    def send(self, *numbers: int, is_io_bound: bool = False) -> None:
        for number in numbers:
            self.in_flight.send(batch_of(work_items(2), number=number, is_io_bound=is_io_bound))

    async def begin(self, *numbers: int) -> None:
        """The tasks of these batches ask when to end, as they do when they begin."""
        self.asking |= {number: asyncio.create_task(self.in_flight.wait_for_stop(number)) for number in numbers}
        await asyncio.sleep(0)

    async def told(self) -> dict[int, Stop]:
        """The tasks that were told to end, and how."""
        for _ in range(2):
            await asyncio.sleep(0)
        return {number: asking.result() for number, asking in self.asking.items() if asking.done()}


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks()
    yield made
    left = [*made.asking.values(), *made.in_flight.reports]
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_it_counts_batches_by_kind(tasks: Tasks) -> None:
    tasks.send(1, 2)
    tasks.send(IO_BOUND, is_io_bound=True)
    assert (tasks.in_flight.images, tasks.in_flight.cpu_batches, tasks.in_flight.has_io_bound) == (6, 2, True)


async def test_batches_beyond_a_share_end_whether_they_run_or_wait(tasks: Tasks) -> None:
    tasks.send(1, 2, 3, 4)
    await tasks.begin(1, 2)
    assert tasks.in_flight.make_room(LITTLE) == 4
    await tasks.begin(3)  # which begins only now
    assert await tasks.told() == dict.fromkeys((1, 2, 3), Stop.DRAIN)
    assert tasks.in_flight.make_room(LITTLE) == 0


@pytest.mark.parametrize(("share", "kept"), [(Share(1, 0), 1), (Share(1, 1), 1), (Share(1, 2), 2), (LITTLE, 0)])
async def test_the_oldest_that_run_go_on(tasks: Tasks, share: Share, kept: int) -> None:
    tasks.send(1, 2, 3, 4)
    await tasks.begin(1, 2)
    assert tasks.in_flight.make_room(share) == 4 - kept
    await tasks.begin(3)
    assert await tasks.told() == dict.fromkeys((1, 2, 3)[kept:], Stop.DRAIN)


async def test_a_batch_that_waits_for_its_sources_ends_only_without_any_share(tasks: Tasks) -> None:
    tasks.send(1)
    tasks.send(IO_BOUND, is_io_bound=True)
    await tasks.begin(1, IO_BOUND)
    assert tasks.in_flight.make_room(LITTLE) == 1
    assert await tasks.told() == {1: Stop.DRAIN}
    assert tasks.in_flight.make_room(NO_SHARE)
    assert await tasks.told() == {1: Stop.DRAIN, IO_BOUND: Stop.DRAIN}


async def test_all_stop_now_and_a_batch_that_is_not_known_does_too(tasks: Tasks) -> None:
    tasks.send(1)
    tasks.send(IO_BOUND, is_io_bound=True)
    await tasks.begin(1, IO_BOUND, 100)
    tasks.in_flight.stop_now()
    assert await tasks.told() == dict.fromkeys((1, IO_BOUND, 100), Stop.NOW)


async def test_a_worker_that_takes_too_long_is_ended_once(tasks: Tasks) -> None:
    tasks.send(1, 2)
    await tasks.begin(1)
    await asyncio.sleep(0.001)  # the clock is that of the loop
    tasks.in_flight.end_overdue(timeout_seconds=60)
    assert tasks.ended == []
    tasks.in_flight.end_overdue(timeout_seconds=0)
    tasks.in_flight.end_overdue(timeout_seconds=0)
    assert tasks.ended == [1]
    tasks.in_flight.end_workers()
    assert tasks.ended == [1, 1, 2]
