"""The dispatcher on a real MongoDB, with batches that the test ends by hand in place of Ray tasks."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from actors.messages import (
    NO_SHARE,
    BatchLostError,
    BatchReport,
    Loss,
    Outcome,
    OutcomeKind,
    Recorded,
    Share,
    ShareUpdate,
    WorkItem,
)
from actors.request.dispatcher import Dispatcher
from actors.request.in_flight import BatchesInFlight, Sent
from cluster.codes import ImageErrorCode
from cluster.errors import StaleEpochError
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
ONE_BATCH, TWO_BATCHES = Share(0.5, 1), Share(1, 1)


class Hands:
    """A dispatcher of a request of some images, and the batches that it sends."""

    def __init__(self, database: Database, request: ProcessingRequest, settings: Settings) -> None:
        self.request = request
        self.products = ProductStore(database)
        self.sent: list[tuple[Batch, asyncio.Future[BatchReport]]] = []
        self.rebuilds_requested = 0
        self.dispatcher = Dispatcher(
            request,
            BatchesInFlight(self._send),
            requests=RequestStore(database),
            products=self.products,
            request_rebuild=self._request_rebuild,
            numbers=itertools.count(1),
            settings=settings,
        )
        self.dispatcher.update_share(ShareUpdate(ONE_BATCH))

    @classmethod
    async def ready(cls, database: Database, settings: Settings) -> Hands:
        return cls(database, await committed(database, products=IMAGES), settings)

    def _send(self, batch: Batch) -> Sent:
        future: asyncio.Future[BatchReport] = asyncio.get_running_loop().create_future()
        self.sent.append((batch, future))

        async def report() -> BatchReport:
            return await future

        return Sent(report(), lambda: None)

    def _request_rebuild(self) -> None:
        self.rebuilds_requested += 1

    async def wait_for(self, batches: int) -> None:
        async def are_sent() -> bool:
            return len(self.sent) >= batches

        await wait_until_async(are_sent, f"{batches} batches are sent")

    async def begin(self, batch: Batch) -> bool:
        """Begin an attempt at each image. False when a part of the batch is refused."""
        tried = [item.tried for item in batch.items]
        begun = await self.products.begin_attempts(batch.request_id, batch.epoch, tried, batch=batch.number)
        return begun is FencedWrite.ACCEPTED

    async def record(self, *items: WorkItem) -> None:
        """Record these images as completed."""
        results = [ImageResult(item.row, item.index, Image(status=Status.COMPLETED), "key") for item in items]
        await self.products.record_results(self.request.request_id, self.request.epoch, results)

    async def complete(self, number: int, recorded: Recorded = Recorded.COUNTED) -> None:
        """A batch ends as a task would end it."""
        batch, future = self.sent[number]
        await self.record(*batch.items)
        outcomes = tuple(Outcome(item, OutcomeKind.COMPLETED) for item in batch.items)
        future.set_result(BatchReport(outcomes, 0.1, recorded=recorded))

    async def failed(self) -> dict[int, ImageErrorCode]:
        """The codes of failed images, by their places in the request. All others are done."""
        products = await self.products.page(self.request.request_id, after_row=0, limit=IMAGES)
        images = {product.first_image: product.images[0] for product in products}
        failed = {place: image.error.code for place, image in images.items() if image.error}
        assert {image.status for place, image in images.items() if place not in failed} == {Status.COMPLETED}
        return failed

    async def sent_until_end(
        self, run: asyncio.Task[None]
    ) -> AsyncIterator[tuple[int, Batch, asyncio.Future[BatchReport]]]:
        """All batches, as they are sent, until a run has ended."""
        number = 0
        while not run.done():
            if number < len(self.sent):
                yield number, *self.sent[number]
                number += 1
            else:
                await asyncio.sleep(POLL_SECONDS)
        await run


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
    assert hands.dispatcher.report.images_done == IMAGES
    assert not hands.rebuilds_requested


async def test_without_a_share_it_begins_nothing_and_loses_nothing(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    hands.dispatcher.update_share(ShareUpdate(NO_SHARE))
    await hands.complete(0, Recorded.UNCOUNTED)

    async def is_drained() -> bool:
        return not hands.dispatcher.in_flight

    await wait_until_async(is_drained, "the batch that ran has come back")
    assert hands.rebuilds_requested == 1
    assert not run.done()
    assert len(hands.sent) == 1
    hands.dispatcher.update_share(ShareUpdate(TWO_BATCHES))
    await hands.wait_for(2)
    run.cancel()


async def test_it_stops_when_its_batches_have_ended(hands: Hands) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    hands.dispatcher.stop()
    hands.sent[0][1].set_exception(BatchLostError(Loss.CRASHED))
    await asyncio.wait_for(run, 10)
    assert len(hands.sent) == 1


async def test_neighbours_that_were_recorded_do_not_hide_the_guilty_image(hands: Hands, isolated: Settings) -> None:
    guilty = 3
    run = asyncio.create_task(hands.dispatcher.run())
    deaths: list[int] = []  # the images that were left to do
    async for number, batch, future in hands.sent_until_end(run):
        if not await hands.begin(batch):
            future.set_result(BatchReport.not_ours())
        elif guilty in {item.ordinal for item in batch.items}:
            others = [item for item in batch.items if item.ordinal != guilty]
            await hands.record(*others[-1:])  # its neighbour
            deaths.append(len(batch.items))
            future.set_exception(BatchLostError(Loss.CRASHED))
        else:
            await hands.complete(number)
    assert await hands.failed() == {guilty: ImageErrorCode.DECODER_CRASHED}
    assert deaths == [4, *[1] * isolated.max_attempts]
    assert hands.rebuilds_requested > len(deaths)  # the refused batches ask for one, too


async def test_a_refused_batch_tells_that_a_newer_coordinator_has_the_request(hands: Hands, database: Database) -> None:
    run = asyncio.create_task(hands.dispatcher.run())
    await hands.wait_for(1)
    newer = await RequestClaims(database).claim(hands.request.request_id)
    assert newer is not None
    await hands.products.take_over(newer.request_id, newer.epoch)
    batch, future = hands.sent[0]
    assert not await hands.begin(batch)
    future.set_result(BatchReport.not_ours())
    with pytest.raises(StaleEpochError):
        await asyncio.wait_for(run, 10)


async def test_an_image_that_takes_its_coordinator_with_it_comes_to_an_end_and_its_neighbours_do_not(
    database: Database, isolated: Settings
) -> None:
    """Each coordinator dies with the batch that has the guilty image. The next one claims the request again."""
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
