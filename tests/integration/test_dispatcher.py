"""How a request's batches follow its window; the request is in a real MongoDB, the workers are played."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from actors.dispatcher import Dispatcher
from actors.flights import Sent
from actors.windows import Window
from actors.work import Batch, BatchReport, Fate, Outcome
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestStore
from cluster.settings import Settings
from tests.support.requests import committed
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.mongo.connection import Database

WHOLE = Window(2, 2, cluster_slots=2)
LITTLE = Window(0.01, 0, duty=0.01, cluster_slots=2)


class Workers:
    """Batches that were sent; a test says when each begins and how it ends."""

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self._reports: dict[int, asyncio.Future[BatchReport]] = {}

    def send(self, batch: Batch) -> Sent:
        self.sent.append(batch)
        report: asyncio.Future[BatchReport] = asyncio.get_running_loop().create_future()
        self._reports[batch.number] = report

        async def reported() -> BatchReport:
            return await report

        return Sent(reported(), lambda: None)

    def land(self, number: int, fate: Fate, *, seconds: float) -> None:
        (batch,) = (each for each in self.sent if each.number == number)
        self._reports[number].set_result(BatchReport(tuple(Outcome(item, fate) for item in batch.items), seconds))


@asynccontextmanager
async def dispatching(database: Database, workers: Workers) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work on a request of 400 images, of which four batches are sent."""
    request = await committed(database, products=400)
    dispatcher = Dispatcher(
        request,
        requests=RequestStore(database),
        products=ProductStore(database),
        send=workers.send,
        settings=Settings(),
    )
    dispatcher.set_window(WHOLE, at_once=False)
    work = asyncio.create_task(dispatcher.run())
    await wait_until_async(lambda: _is(len(workers.sent) == 4), "two batches for each core are sent")
    try:
        yield dispatcher
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _is(fact: bool) -> bool:  # noqa: FBT001 - to be awaited
    return fact


async def test_whoever_is_to_make_room_ends_what_runs_and_what_waits(database: Database) -> None:
    workers = Workers()
    async with dispatching(database, workers) as dispatcher:
        asked = [asyncio.create_task(dispatcher.flights.stopped(number)) for number in (1, 2)]
        await asyncio.wait(asked, timeout=0.01)
        dispatcher.set_window(LITTLE, at_once=True)
        assert await asyncio.gather(*asked) == [False, False]  # they end, but not in a hurry
        assert not await dispatcher.flights.stopped(3)  # this one begins only now


async def test_a_batch_that_did_nothing_does_not_shorten_the_rest(database: Database) -> None:
    workers = Workers()
    async with dispatching(database, workers) as dispatcher:
        dispatcher.set_window(LITTLE, at_once=True)
        workers.land(1, Fate.COMPLETED, seconds=1.0)
        await wait_until_async(lambda: _is(dispatcher.images_done > 0), "the first one is taken in")
        for number in (2, 3, 4):
            workers.land(number, Fate.RETURNED, seconds=0)
        await wait_until_async(lambda: _is(not dispatcher.flights), "nothing new is sent while it rests")
        assert len(workers.sent) == 4
        dispatcher.set_window(WHOLE, at_once=False)
        await wait_until_async(lambda: _is(len(workers.sent) == 8), "its rest ends when it may have more")
        assert {item.row for item in workers.sent[1].items} <= {
            item.row for each in workers.sent[4:] for item in each.items
        }


@pytest.mark.parametrize("running", [1, 2])
async def test_the_oldest_that_run_go_on(database: Database, running: int) -> None:
    workers = Workers()
    async with dispatching(database, workers) as dispatcher:
        asked = [asyncio.create_task(dispatcher.flights.stopped(number)) for number in (1, 2)]
        await asyncio.wait(asked, timeout=0.01)
        dispatcher.set_window(Window(1, running, cluster_slots=2), at_once=True)
        assert not await dispatcher.flights.stopped(3)
        await asyncio.wait(asked, timeout=0.05)
        assert [each.done() for each in asked] == [False] * running + [True] * (2 - running)
        for each in asked:
            each.cancel()
