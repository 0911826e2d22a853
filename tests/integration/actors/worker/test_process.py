"""A worker on real stores and a real source, in the test's own process."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors.messages import Batch, BatchReport, OutcomeKind, Stop, WorkItem
from actors.worker.compressor import Compressor
from actors.worker.process import Worker
from cluster.mongo.connection import Database
from cluster.mongo.products import FencedWrite, ProductStore
from cluster.records import Decision, Status
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.requests import committed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from cluster.records import Image, ProcessingRequest
    from cluster.settings import Settings
    from tests.support.service import Service

IMAGES = 12


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def patient(isolated: Settings, service: Service) -> Settings:
    os.environ.update({name: value for name, value in service.stack.environment.items() if name.startswith("AWS_")})
    return isolated.model_copy(update={"download_timeout_seconds": 20, "source_away_seconds": 1})


@pytest.fixture
async def worker(patient: Settings) -> AsyncIterator[Worker]:
    compressor = Compressor.of(patient)
    await asyncio.wrap_future(compressor.thread.submit(compressor.start))
    opened = Worker(patient, compressor=compressor)
    yield opened
    await opened.close()


@pytest.fixture
async def request_to_do(patient: Settings) -> AsyncIterator[ProcessingRequest]:
    async with Database.open(patient) as database:
        await database.ensure_indexes()
        yield await committed(database, products=IMAGES)


async def images_of(settings: Settings, request: ProcessingRequest) -> list[Image]:
    async with Database.open(settings) as database:
        products = await ProductStore(database).page(request.request_id, after_row=0, limit=IMAGES)
        return [product.images[0] for product in products]


def batch(request: ProcessingRequest, urls: Sequence[str], *, number: int = 1, is_io_bound: bool = False) -> Batch:
    items = tuple(WorkItem(row=2 + n, index=0, ordinal=n, url=url, attempt=1) for n, url in enumerate(urls))
    return Batch(request.request_id, request.owner, request.epoch, number, request.options, items, is_io_bound)


async def never() -> Stop:
    await asyncio.Event().wait()
    raise AssertionError


async def after(seconds: float) -> Stop:
    await asyncio.sleep(seconds)
    return Stop.DRAIN


def kinds(report: BatchReport) -> dict[OutcomeKind, int]:
    return {kind: len(report.of(kind)) for kind in OutcomeKind if report.of(kind)}


async def test_a_batch_that_is_stopped_keeps_its_results_and_releases_the_rest(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    quick, slow = origin.route("/quick.jpg", reply(jpeg())), origin.route("/slow.jpg", slow_headers(10, reply(jpeg())))
    request = request_to_do
    report = await worker.run(batch(request, [quick] * 5 + [slow] * 7, is_io_bound=True), after(1.0))
    assert kinds(report) == {OutcomeKind.COMPLETED: 5, OutcomeKind.RELEASED: 7}
    assert all(outcome.item.is_io_bound is (outcome.kind is OutcomeKind.RELEASED) for outcome in report.outcomes)
    assert report.seconds < 3
    statuses = [image.status for image in await images_of(patient, request)]
    assert statuses == [Status.COMPLETED] * 5 + [Status.PROCESSING] * 7


async def test_attempts_that_were_lost_with_their_coordinators_count_as_no_failures(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    broken, most = origin.route("/broken.jpg", reply(status=500)), patient.max_attempts
    (item,) = batch(request_to_do, [broken]).items
    item = replace(item, attempt=most + 1)
    for number in range(1, most):
        report = await worker.run(replace(batch(request_to_do, [broken], number=number), items=(item,)), never())
        (outcome,) = report.outcomes
        assert outcome.kind is OutcomeKind.RETRY
        (image, *_) = await images_of(patient, request_to_do)
        assert (image.status, image.attempts, image.failures) == (Status.PROCESSING, most + number, number)
        item = outcome.item.after_failure()
    report = await worker.run(replace(batch(request_to_do, [broken], number=most), items=(item,)), never())
    assert kinds(report) == {OutcomeKind.FAILED: 1}


async def test_the_cpu_time_of_a_compression_is_kept_also_if_it_failed(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    body = jpeg(width=1_600, height=1_200, seed=20)
    good, damaged = origin.route("/good.jpg", reply(body)), origin.route("/damaged.jpg", reply(body[:20_000]))
    first = batch(request_to_do, [good, damaged, origin.url + "/missing.jpg"])
    await worker.run(first, never())
    again = replace(first.items[0], row=5, ordinal=3)
    await worker.run(replace(first, number=2, items=(again,)), never())
    images = await images_of(patient, request_to_do)
    done, failure = Status.COMPLETED, Status.FAILED
    assert [image.status for image in images[:4]] == [done, failure, failure, done]
    compressed, failed, *others = [image.cpu_seconds for image in images[:4]]
    assert compressed is not None
    assert failed is not None
    assert 0.005 < compressed < 10
    assert 0 < failed < 10
    assert compressed == round(compressed, 3)
    assert others == [None, None]
    assert images[3].decision is Decision.DEDUPLICATED


async def test_while_s3_is_away_images_use_up_no_attempt(
    patient: Settings,
    request_to_do: ProcessingRequest,
    origin: Origin,
    unused_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.worker.pipeline._STORE_AWAY_TIMEOUT_SECONDS", 0.5)
    picture = origin.route("/picture.jpg", reply(jpeg()))
    away = Worker(patient.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{unused_tcp_port}"}))
    try:
        report = await away.run(batch(request_to_do, [picture] * 4), never())
    finally:
        await away.close()
    assert kinds(report) == {OutcomeKind.STORE_AWAY: 4}
    unstored = tuple(outcome.item for outcome in report.outcomes)
    back = Worker(patient)
    try:
        report = await back.run(replace(batch(request_to_do, [], number=2), items=unstored), never())
    finally:
        await back.close()
    assert kinds(report) == {OutcomeKind.COMPLETED: 4}
    assert {image.attempts for image in (await images_of(patient, request_to_do))[:4]} == {1}


async def test_an_image_that_is_interrupted_at_once_is_not_io_bound(
    worker: Worker, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    usual = origin.route("/usual.jpg", slow_headers(2, reply(jpeg())))
    report = await worker.run(batch(request_to_do, [usual] * 4), after(0.2))
    assert kinds(report) == {OutcomeKind.RELEASED: 4}
    assert not any(outcome.item.is_io_bound for outcome in report.outcomes)


async def test_a_batch_that_is_stopped_before_its_first_step_releases_all(
    worker: Worker, request_to_do: ProcessingRequest, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, stop = origin.route("/usual.jpg", reply(jpeg())), asyncio.Event()
    begin = ProductStore.begin_attempts

    async def begin_and_stop(*arguments: Any, **options: Any) -> FencedWrite:  # noqa: ANN401 - handed on
        begun = await begin(*arguments, **options)
        stop.set()
        await asyncio.sleep(0.01)
        return begun

    async def stopped() -> Stop:
        await stop.wait()
        return Stop.DRAIN

    monkeypatch.setattr(ProductStore, "begin_attempts", begin_and_stop)
    report = await worker.run(batch(request_to_do, [usual] * 4), stopped())
    assert kinds(report) == {OutcomeKind.RELEASED: 4}


async def test_a_source_that_keeps_the_cpu_slot_waiting_loses_its_turn(
    worker: Worker, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    quick, slow = origin.route("/quick.jpg", reply(jpeg())), origin.route("/slow.jpg", slow_headers(4, reply(jpeg())))
    request = request_to_do
    report = await worker.run(batch(request, [quick] * 11 + [slow]), never())
    assert kinds(report) == {OutcomeKind.COMPLETED: 11, OutcomeKind.RELEASED: 1}
    assert report.seconds < 2
    (straggler,) = (outcome.item for outcome in report.of(OutcomeKind.RELEASED))
    assert (straggler.url, straggler.is_io_bound, straggler.attempt) == (slow, True, 1)
    waiting = replace(batch(request, [], number=2, is_io_bound=True), items=(straggler,))
    assert kinds(await worker.run(waiting, never())) == {OutcomeKind.COMPLETED: 1}


async def test_results_are_recorded_while_a_batch_runs(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    quick, slow = origin.route("/quick.jpg", reply(jpeg())), origin.route("/slow.jpg", slow_headers(2.5, reply(jpeg())))
    request = request_to_do
    seen: list[list[Status]] = []

    async def look() -> Stop:
        await asyncio.sleep(1.8)
        seen.append([image.status for image in await images_of(patient, request)])
        return await never()

    report = await worker.run(batch(request, [quick] * 3 + [slow], is_io_bound=True), look())
    assert kinds(report) == {OutcomeKind.COMPLETED: 4}
    assert seen[0][:4] == [Status.COMPLETED] * 3 + [Status.PROCESSING]


async def test_a_host_that_is_busy_slows_its_own_images_alone(
    worker: Worker, request_to_do: ProcessingRequest, origin: Origin
) -> None:
    with Origin() as other:
        busy = other.route("/busy.jpg", reply(status=429, headers={"Retry-After": "2"}))
        quick = origin.route("/quick.jpg", reply(jpeg()))
        request = request_to_do
        report = await worker.run(batch(request, [busy] * 8 + [quick] * 4), never())
        assert len(report.of(OutcomeKind.COMPLETED)) == 4
        tried = {outcome.delay_seconds for outcome in report.of(OutcomeKind.RETRY)}
        assert tried == {2}
        again = await worker.run(batch(request, [busy] * 8, number=2), never())
        assert kinds(again) == {OutcomeKind.RELEASED: 8}
        assert all(0 < outcome.delay_seconds <= 2 for outcome in again.outcomes)
        assert len(other.requests) == len(report.of(OutcomeKind.RETRY))


async def test_a_dead_host_is_given_up_without_a_try_for_each_image(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, unused_tcp_port: int
) -> None:
    dead = f"http://127.0.0.1:{unused_tcp_port}/a.jpg"
    request, number, tries = request_to_do, 0, 0
    while True:
        number += 1
        report = await worker.run(batch(request, [dead] * IMAGES, number=number), never())
        tries += len(report.of(OutcomeKind.RETRY))
        if report.of(OutcomeKind.FAILED):
            break
        assert number < 100
        await after(0.1)
    assert kinds(report) == {OutcomeKind.FAILED: IMAGES}
    errors = [image.error for image in await images_of(patient, request)]
    assert {error.code for error in errors if error} == {"source_unavailable"}
    assert tries < 40
