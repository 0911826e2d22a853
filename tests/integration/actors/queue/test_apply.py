"""The actions of a plan that was made before something has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors.messages import NO_SHARE, RequestReport, Share
from actors.queue.apply import Effects
from actors.queue.coordinators import Coordinators
from actors.queue.observe import Observer
from actors.queue.plan import Admit, SetShares
from cluster.mongo.connection import Database
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import QueueLease, RequestControl, RequestQueue
from cluster.records import Counts
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.requests import claimed_lease, product, waiting
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.settings import Settings

pytestmark = pytest.mark.timeout(90)
SHARE_SENT_SECONDS = 0.5  # an actor of this machine answers in a tenth of that


class QueueUnderTest:
    """The effects of a queue manager, on a database and coordinators of their own."""

    def __init__(self, settings: Settings, database: Database, lease: QueueLease) -> None:
        self.database = database
        self.lease = lease
        self.coordinators = Coordinators(settings)
        self.is_draining = False
        observer = Observer(RequestQueue(database), self.coordinators, max_active=None)
        self.effects = Effects(
            settings,
            database,
            lease,
            self.coordinators,
            observer,
            is_draining=lambda: self.is_draining,
            wake_up=lambda: None,
        )

    async def report(self, request_id: str) -> RequestReport | None:
        """Return the report of a request, whose share is withdrawn by that."""
        return (await self.coordinators.set_shares({request_id: NO_SHARE}, make_room=False)).get(request_id)

    async def request_of_one_image(self, origin: Origin) -> str:
        """Make a request that waits to be admitted, and return its id."""
        request_id = await waiting(self.database, counts=Counts(products=1, images=1))
        url = origin.route("/a.jpg", reply(jpeg()))
        row = product(request_id, 2).model_copy(update={"input_image_urls": [url]})
        await ProductStore(self.database).insert([row])
        return request_id

    async def await_start(self, request_id: str) -> None:
        async def has_begun() -> bool:
            report = await self.report(request_id)
            return report is not None and report.demand is not None

        await wait_until_async(has_begun, "its coordinator has read its images")

    async def check_nothing_begun(self, request_id: str) -> None:
        await asyncio.sleep(SHARE_SENT_SECONDS)
        report = await self.report(request_id)
        assert report is not None
        assert (report.images_in_tasks, report.images_done) == (0, 0)


@pytest.fixture
async def queue(isolated: Settings) -> AsyncIterator[QueueUnderTest]:
    async with Database.open(isolated) as database:
        await database.ensure_indexes()
        yield QueueUnderTest(isolated, database, await claimed_lease(database))


async def test_another_plan_follows_when_the_request_does_not_wait_any_more(queue: QueueUnderTest) -> None:
    await queue.coordinators.start_standby(1)
    request_id = await waiting(queue.database)
    await RequestControl(queue.database).cancel(request_id)
    assert await queue.effects.apply([Admit(request_id)])
    assert queue.coordinators.state().standby == 1


async def test_no_other_plan_follows_when_no_coordinator_stands_by(queue: QueueUnderTest) -> None:
    assert not await queue.effects.apply([Admit(await waiting(queue.database))])


async def test_an_admission_that_a_drain_has_overtaken_gives_no_share(queue: QueueUnderTest) -> None:
    with Origin() as origin:
        request_id = await queue.request_of_one_image(origin)
        await queue.coordinators.start_standby(1)
        queue.is_draining = True
        assert await queue.effects.apply([Admit(request_id)])

        async def is_claimed() -> bool:
            request = await queue.database.requests.find_one({"requestId": request_id})
            return request is not None and request["epoch"] > 0

        await wait_until_async(is_claimed, "its coordinator has claimed it")
        await queue.check_nothing_begun(request_id)


async def test_a_plan_from_before_a_drain_hands_out_no_share(queue: QueueUnderTest) -> None:
    with Origin() as origin:
        request_id = await queue.request_of_one_image(origin)
        await queue.coordinators.start_standby(1)
        with queue.coordinators.reserved() as name:
            assert name is not None
            await queue.lease.admit(request_id, name)
            await queue.coordinators.assign(request_id, name, NO_SHARE)
        await queue.await_start(request_id)
        share = SetShares({request_id: Share(1, 1)}, {request_id: 5}, make_room=False)
        queue.is_draining = True
        await queue.effects.apply([share])
        await queue.check_nothing_begun(request_id)
        queue.is_draining = False
        await queue.effects.apply([share])

        async def is_fetched() -> bool:
            return bool(origin.requests)

        await wait_until_async(is_fetched, "the image is fetched", timeout_seconds=30)
