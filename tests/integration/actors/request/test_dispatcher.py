"""The dispatcher on a real MongoDB, with batches that the test ends by hand in place of Ray tasks."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.messages import NO_SHARE, BatchLostError, BatchReport, Loss, Outcome, OutcomeKind, Share, WorkItem
from actors.request.dispatcher import Dispatcher
from actors.request.in_flight import Sent
from cluster.codes import ImageErrorCode
from cluster.mongo.products import FencedWrite, ImageResult, ProductStore
from cluster.mongo.requests import RequestClaims, RequestStore
from cluster.records import Image, ProcessingRequest, Status
from tests.support.requests import committed
from tests.support.waiting import POLL_SECONDS, wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.messages import Batch
    from cluster.mongo.connection import Database
    from cluster.settings import Settings

IMAGES = 12
ONE_BATCH, TWO_BATCHES, FOUR_BATCHES = Share(0.5, 1), Share(1, 1), Share(2, 2)
LITTLE = Share(0.01, 0, time_fraction=0.01)


class Hands:
    """A dispatcher of a request of some images, and what it sends."""

    def __init__(self, database: Database, request: ProcessingRequest, settings: Settings) -> None:
        self.request = request
        self.products = ProductStore(database)
        self.sent: list[tuple[Batch, asyncio.Future[BatchReport]]] = []
        self.ended: list[int] = []  # the batches whose workers were ended
        self.dispatcher = Dispatcher(
            request,
            requests=RequestStore(database),
            products=self.products,
            send=self._send,
            numbers=itertools.count(1),
            settings=settings,
        )
        self.dispatcher.set_share(ONE_BATCH, at_once=False)

    @classmethod
    async def ready(cls, database: Database, settings: Settings) -> Hands:
        return cls(database, await committed(database, products=IMAGES), settings)

    def _send(self, batch: Batch) -> Sent:
        future: asyncio.Future[BatchReport] = asyncio.get_running_loop().create_future()
        self.sent.append((batch, future))

        async def report() -> BatchReport:
            return await future

        return Sent(report(), lambda: self.ended.append(batch.number))

    async def wait_for(self, batches: int) -> None:
        async def are_sent() -> bool:
            return len(self.sent) >= batches

        await wait_until_async(are_sent, f"{batches} batches are sent")

    async def begin(self, batch: Batch) -> bool:
        """Whether it may be done: none of it was before."""
        tried = [item.tried for item in batch.items]
        begun = await self.products.begin_attempts(batch.request_id, batch.epoch, tried, batch=batch.number)
        return begun is FencedWrite.ACCEPTED

    async def record(self, *items: WorkItem) -> None:
        """These are done."""
        results = [ImageResult(item.row, item.index, Image(status=Status.COMPLETED), "key") for item in items]
        await self.products.record_results(self.request.request_id, self.request.epoch, results)

    async def complete(self, number: int) -> None:
        """A batch ends as a task would end it."""
        batch, future = self.sent[number]
        await self.record(*batch.items)
        future.set_result(BatchReport(tuple(Outcome(item, OutcomeKind.COMPLETED) for item in batch.items), 0.1))

    async def failed(self) -> dict[int, ImageErrorCode]:
        """How images have failed, by their places in the request; all others are done."""
        products = await self.products.page(self.request.request_id, after_row=0, limit=IMAGES)
        images = {product.first_image: product.images[0] for product in products}
        failed = {place: image.error.code for place, image in images.items() if image.error}
        assert {image.status for place, image in images.items() if place not in failed} == {Status.COMPLETED}
        return failed

    async def sent_until_end(
        self, run: asyncio.Task[bool]
    ) -> AsyncIterator[tuple[int, Batch, asyncio.Future[BatchReport]]]:
        """All batches, as they are sent, until a run has ended."""
        number = 0
        while not run.done():
            if number < len(self.sent):
                yield number, *self.sent[number]
                number += 1
            else:
                await asyncio.sleep(POLL_SECONDS)
        assert await run

    async def begun(self, *numbers: int) -> list[asyncio.Task[bool]]:
        """The tasks of these batches ask when to end, as they do when they have a core."""
        asking = [asyncio.create_task(self.dispatcher.in_flight.stopped(number)) for number in numbers]
        await asyncio.wait(asking, timeout=0.01)
        return asking


def kept_waiting(batch: Batch) -> BatchReport:
    """All its images are given back, since their sources have kept the core waiting."""
    return BatchReport(tuple(Outcome(replace(item, is_slow=True), OutcomeKind.RELEASED) for item in batch.items))


@pytest.fixture
async def hands(database: Database, isolated: Settings) -> Hands:
    return await Hands.ready(database, isolated.model_copy(update={"max_batch_images": 4}))


async def test_it_ends_when_every_image_has(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    for number in range(3):
        await hands.wait_for(number + 1)
        await hands.complete(number)
    await asyncio.wait_for(run, 10)
    assert sorted(item.ordinal for batch, _ in hands.sent for item in batch.items) == list(range(IMAGES))


async def test_a_closed_window_begins_nothing_and_loses_nothing(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    hands.dispatcher.set_share(NO_SHARE, at_once=False)
    await hands.complete(0)

    async def is_drained() -> bool:
        return not hands.dispatcher.in_flight

    await wait_until_async(is_drained, "what ran has come back")
    assert not run.done()
    assert len(hands.sent) == 1
    hands.dispatcher.set_share(TWO_BATCHES, at_once=False)
    await hands.wait_for(2)
    run.cancel()


async def test_all_is_given_back_when_a_window_is_closed_at_once(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    batch, future = hands.sent[0]
    future.set_result(kept_waiting(batch))
    await hands.wait_for(3)
    slow = next(each for each, _ in hands.sent if each.is_slow)
    usual = next(each for each, _ in hands.sent[1:] if not each.is_slow)
    begun = await hands.begun(slow.number, usual.number)
    hands.dispatcher.set_share(NO_SHARE, at_once=False)
    await asyncio.wait(begun, timeout=0.05)
    assert [each.done() for each in begun] == [False, False]
    hands.dispatcher.set_share(NO_SHARE, at_once=True)
    assert await asyncio.gather(*begun) == [False, False]  # in no hurry
    run.cancel()


async def test_it_sleeps_while_an_image_is_due_and_the_window_is_full(hands: Hands) -> None:
    hands.dispatcher.set_share(TWO_BATCHES, at_once=False)
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(2)
    batch, future = hands.sent[0]
    future.set_result(BatchReport(tuple(Outcome(item, OutcomeKind.RETRY, 0) for item in batch.items), 0.1))
    await hands.wait_for(3)
    used = time.process_time()
    await asyncio.sleep(0.5)  # nothing happens, which is what is measured
    assert time.process_time() - used < 0.25
    run.cancel()


async def test_a_batch_whose_worker_died_is_split_until_the_guilty_image_is_alone(hands: Hands) -> None:
    guilty = 2
    run = asyncio.create_task(hands.dispatcher.run())
    async for number, batch, future in hands.sent_until_end(run):
        if guilty in {item.ordinal for item in batch.items}:
            future.set_exception(BatchLostError(Loss.CRASHED))
        else:
            await hands.complete(number)
    products = await hands.products.page(hands.request.request_id, after_row=0, limit=IMAGES)
    errors = {product.first_image: product.images[0].error for product in products if product.images[0].error}
    assert {ordinal: error.code for ordinal, error in errors.items()} == {guilty: "decoder_crashed"}
    assert {product.images[0].attempts for product in products if product.first_image != guilty} <= {0, 1}


async def test_neighbours_that_were_recorded_do_not_hide_the_guilty_image(hands: Hands, isolated: Settings) -> None:
    guilty = 3
    run = asyncio.create_task(hands.dispatcher.run())
    deaths: list[int] = []  # the images that were left to do
    async for number, batch, future in hands.sent_until_end(run):
        if not await hands.begin(batch):
            future.set_result(BatchReport((), refused=True))
        elif guilty in {item.ordinal for item in batch.items}:
            others = [item for item in batch.items if item.ordinal != guilty]
            await hands.record(*others[-1:])  # its neighbour
            deaths.append(len(batch.items))
            future.set_exception(BatchLostError(Loss.CRASHED))
        else:
            await hands.complete(number)
    assert await hands.failed() == {guilty: ImageErrorCode.DECODER_CRASHED}
    assert deaths == [4, *[1] * isolated.max_attempts]


async def test_images_that_wait_for_their_sources_are_halved_too_and_wait_on(hands: Hands, isolated: Settings) -> None:
    guilty = 2
    run = asyncio.create_task(hands.dispatcher.run())
    deaths: list[int] = []
    async for number, batch, future in hands.sent_until_end(run):
        if not batch.is_slow:
            future.set_result(kept_waiting(batch))
        elif guilty in {item.ordinal for item in batch.items}:
            deaths.append(len(batch.items))
            future.set_exception(BatchLostError(Loss.CRASHED))
        else:
            await hands.complete(number)
    assert await hands.failed() == {guilty: ImageErrorCode.DECODER_CRASHED}
    assert deaths == [4, 2, *[1] * isolated.max_attempts]


async def test_a_batch_that_takes_too_long_loses_its_worker_and_is_split(
    database: Database, isolated: Settings
) -> None:
    hands = await Hands.ready(database, isolated.model_copy(update={"max_batch_images": 4, "batch_timeout_seconds": 1}))
    guilty = 2
    run = asyncio.create_task(hands.dispatcher.run())
    async for number, batch, future in hands.sent_until_end(run):
        if guilty in {item.ordinal for item in batch.items}:
            await hands.begun(batch.number)

            async def is_ended(number: int = batch.number) -> bool:
                return number in hands.ended

            await wait_until_async(is_ended, "its worker is ended")
            future.set_exception(BatchLostError(Loss.OTHER))
        else:
            await hands.complete(number)
    tried = [batch for batch, _ in hands.sent if guilty in {item.ordinal for item in batch.items}]
    assert [len(batch.items) for batch in tried] == [4, 2, *[1] * isolated.max_attempts]
    assert hands.ended == [batch.number for batch in tried]
    products = await hands.products.page(hands.request.request_id, after_row=0, limit=IMAGES)
    errors = {image.error.code for product in products for image in product.images if image.error}
    assert errors == {ImageErrorCode.TIMEOUT}


async def test_a_worker_that_cannot_start_costs_no_image_its_life(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    first, future = hands.sent[0]
    future.set_exception(BatchLostError(Loss.OTHER))
    await hands.wait_for(2)
    assert hands.sent[1][0].items[0].attempt == first.items[0].attempt == 1
    run.cancel()


async def test_who_is_to_make_room_ends_what_runs_and_what_waits(hands: Hands) -> None:
    hands.dispatcher.set_share(FOUR_BATCHES, at_once=False)
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(4)
    begun = await hands.begun(1, 2)
    hands.dispatcher.set_share(LITTLE, at_once=True)
    assert await asyncio.gather(*begun) == [False, False]  # they end, but not in a hurry
    assert not await hands.dispatcher.in_flight.stopped(3)  # this one begins only now
    run.cancel()


@pytest.mark.parametrize("running", [1, 2])
async def test_the_oldest_that_run_go_on(hands: Hands, running: int) -> None:
    hands.dispatcher.set_share(FOUR_BATCHES, at_once=False)
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(4)
    begun = await hands.begun(1, 2)
    hands.dispatcher.set_share(Share(1, running), at_once=True)
    assert not await hands.dispatcher.in_flight.stopped(3)
    await asyncio.wait(begun, timeout=0.05)
    assert [each.done() for each in begun] == [False] * running + [True] * (2 - running)
    for each in (run, *begun):
        each.cancel()


async def test_a_batch_that_did_nothing_does_not_shorten_the_rest(hands: Hands) -> None:
    hands.dispatcher.set_share(FOUR_BATCHES, at_once=False)
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(4)
    hands.dispatcher.set_share(LITTLE, at_once=True)
    await hands.complete(0)

    async def is_taken_in() -> bool:
        return hands.dispatcher.images_done > 0

    async def is_empty() -> bool:
        return not hands.dispatcher.in_flight

    await wait_until_async(is_taken_in, "the first one is taken in")
    returned = hands.sent[1:4]
    for batch, future in returned:
        future.set_result(BatchReport(tuple(Outcome(item, OutcomeKind.RELEASED) for item in batch.items)))
    await wait_until_async(is_empty, "nothing new is sent while it rests")
    assert len(hands.sent) == 4
    hands.dispatcher.set_share(FOUR_BATCHES, at_once=False)
    await hands.wait_for(8)
    again = {item.row for batch, _ in hands.sent[4:] for item in batch.items}
    assert {item.row for batch, _ in returned for item in batch.items} <= again
    run.cancel()


async def test_an_image_that_takes_its_coordinator_with_it_comes_to_an_end_and_its_neighbours_do_not(
    database: Database, isolated: Settings
) -> None:
    """Each coordinator dies with the batch that has the guilty one; the next one claims the request again."""
    hands, guilty, deaths = await Hands.ready(database, isolated), 2, 0
    settings = isolated.model_copy(update={"max_batch_images": 4})
    while True:
        run, number, died = asyncio.create_task(hands.dispatcher.run()), 0, False
        while not (run.done() or died):
            if number == len(hands.sent):
                await asyncio.sleep(POLL_SECONDS)
                continue
            batch, _ = hands.sent[number]
            await hands.begin(batch)
            died = guilty in {item.ordinal for item in batch.items}
            if not died:
                await hands.complete(number)
            number += 1
        if not died:
            break
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        deaths += 1
        request = await RequestClaims(database).claim(hands.request.request_id)
        assert request is not None
        await hands.products.take_over(request.request_id, request.epoch)
        hands = Hands(database, request, settings)
    assert await hands.failed() == {guilty: ImageErrorCode.DECODER_CRASHED}
    assert deaths == settings.max_attempts + 5


async def test_an_image_that_takes_its_node_with_it_comes_to_an_end_and_its_neighbours_do_not(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.request.dispatcher._PAUSE_BASE_SECONDS", 0.1)
    run, guilty = asyncio.create_task(hands.dispatcher.run()), 2
    deaths: list[int] = []  # the images that were in tasks
    async for number, batch, future in hands.sent_until_end(run):
        if guilty not in {item.ordinal for item in batch.items}:
            await hands.complete(number)
            continue
        (task,) = await hands.begun(batch.number)
        future.set_exception(BatchLostError(Loss.OTHER))
        deaths.append(len(batch.items))
        await task
    assert await hands.failed() == {guilty: ImageErrorCode.DECODER_CRASHED}
    lone = [images for images in deaths if images == 1]
    assert deaths[-len(lone) :] == lone
    assert len(lone) == 5
