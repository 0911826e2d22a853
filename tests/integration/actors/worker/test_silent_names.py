"""A worker whose images have host names that no name server answers about."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.messages import Batch, BatchReport, OutcomeKind, Stop, WorkItem
from actors.worker.process import Worker
from cluster.http.names import NameResolver
from cluster.identifiers import new_identifier
from cluster.mongo.connection import Database
from cluster.mongo.products import ProductStore
from tests.support.dns_server import DnsServer, Fault, dns_server
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.requests import committed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from cluster.records import Image, ProcessingRequest
    from cluster.settings import Settings
    from tests.support.service import Service

SILENT = 32
GOOD = 5
AWAY_SECONDS = 2.0


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    domain = f"{new_identifier('x').replace('_', '')}.example"  # another for each test: Redis remembers silent hosts
    async with dns_server({f".{domain}": Fault.SILENT, "shop.example": ["127.0.0.1"]}) as running:
        yield running


def silent_domain(server: DnsServer) -> str:
    return next(name.removeprefix(".") for name in server.zone)


@pytest.fixture(scope="module")
def patient(isolated: Settings, service: Service) -> Settings:
    os.environ.update({name: value for name, value in service.stack.environment.items() if name.startswith("AWS_")})
    return isolated.model_copy(
        update={"download_timeout_seconds": 20, "connect_timeout_seconds": 5, "source_away_seconds": AWAY_SECONDS}
    )


@pytest.fixture
async def worker(patient: Settings, server: DnsServer) -> AsyncIterator[Worker]:
    opened = Worker(patient, resolve=NameResolver(timeout_seconds=4, nameservers=[server.address]))
    yield opened
    await opened.close()


@pytest.fixture
async def request_to_do(patient: Settings) -> AsyncIterator[ProcessingRequest]:
    async with Database.open(patient) as database:
        await database.ensure_indexes()
        yield await committed(database, products=SILENT + GOOD)


async def images_of(settings: Settings, request: ProcessingRequest) -> list[Image]:
    async with Database.open(settings) as database:
        products = await ProductStore(database).page(request.request_id, after_row=0, limit=SILENT + GOOD)
        return [product.images[0] for product in products]


def batch(request: ProcessingRequest, urls: Sequence[str]) -> Batch:
    items = tuple(WorkItem(row=2 + n, index=0, ordinal=n, url=url, attempt=1) for n, url in enumerate(urls))
    return Batch(request.request_id, request.owner, request.epoch, 1, request.options, items, is_io_bound=False)


async def never() -> Stop:
    await asyncio.Event().wait()
    raise AssertionError


async def test_silent_names_of_one_domain_keep_no_good_image_waiting(
    worker: Worker, request_to_do: ProcessingRequest, server: DnsServer, origin: Origin
) -> None:
    origin.route("/a.jpg", reply(jpeg()))
    domain = silent_domain(server)
    silent = [f"http://n{number}.{domain}/a.jpg" for number in range(SILENT)]
    good = [f"http://shop.example:{origin.port}/a.jpg?{number}" for number in range(GOOD)]
    for number in range(GOOD):
        origin.route(f"/a.jpg?{number}", reply(jpeg()))
    report = await worker.run(batch(request_to_do, [*silent, *good]), never())
    assert {each.item.url for each in report.of(OutcomeKind.COMPLETED)} == {*good}
    assert {each.item.url for each in report.of(OutcomeKind.RELEASED)} == {*silent}
    assert report.seconds < 6


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.SERVFAIL])
@pytest.mark.timeout(60)
async def test_a_silent_name_uses_up_no_attempt_and_is_given_up_in_time(
    worker: Worker, patient: Settings, request_to_do: ProcessingRequest, server: DnsServer, fault: Fault
) -> None:
    domain = silent_domain(server)
    server.zone = {f".{domain}": fault}
    now = asyncio.get_running_loop().time
    this, started = batch(request_to_do, [f"http://shop.{domain}/a.jpg"] * 12), now()
    report = BatchReport.all(this, OutcomeKind.RELEASED)
    while report.of(OutcomeKind.RELEASED):
        assert {image.failures for image in await images_of(patient, request_to_do)} == {0}
        assert now() - started < 30
        await asyncio.sleep(max(each.delay_seconds for each in report.outcomes))
        this = replace(this, number=this.number + 1, items=tuple(each.item for each in report.outcomes))
        report = await worker.run(this, never())
    assert len(report.of(OutcomeKind.FAILED)) == 12
    assert now() - started > AWAY_SECONDS
    errors = [image.error for image in await images_of(patient, request_to_do)]
    assert {error.code for error in errors if error} == {"source_unavailable"}


async def test_a_name_that_is_silent_for_a_moment_costs_nothing(
    worker: Worker,
    patient: Settings,
    request_to_do: ProcessingRequest,
    server: DnsServer,
    origin: Origin,
) -> None:
    origin.route("/a.jpg", reply(jpeg()))
    host = f"shop.{silent_domain(server)}"
    server.zone = {host: Fault.SERVFAIL}
    this = batch(request_to_do, [f"http://{host}:{origin.port}/a.jpg"])
    report = await worker.run(this, never())
    assert len(report.of(OutcomeKind.RELEASED)) == 1
    server.zone = {host: ["127.0.0.1"]}
    report = await worker.run(replace(this, number=2), never())
    assert len(report.of(OutcomeKind.COMPLETED)) == 1
    (image, *_) = await images_of(patient, request_to_do)
    assert (image.attempts, image.failures) == (1, 0)
