"""A webhook sender on a real outbox, in the test's own process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from actors.webhook.sender import WebhookSender
from cluster.http.names import NameResolver
from cluster.http.url import MAX_URL_CHARACTERS
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import RequestClaims
from cluster.records import DeliveryState, utc_now
from cluster.secrets import Secrets
from tests.support.dns_server import DnsServer, Fault, dns_server
from tests.support.origin import Origin, redirect, reply
from tests.support.requests import committed, due_delivery, ended
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cluster.mongo.connection import Database
    from cluster.records import Delivery
    from cluster.settings import Settings
    from tests.support.origin import Exchange

SILENT = 60


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(autouse=True)
def _logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logging of the test's process as it is."""
    monkeypatch.setattr("actors.webhook.sender.log_as_json", lambda: None)


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with dns_server({".evil.example": Fault.SILENT, "shop.example": ["127.0.0.1"]}) as running:
        yield running


async def due(database: Database, settings: Settings, url: str, *, owner: str = "key") -> Delivery:
    """A delivery that is due, with a secret that the sender can read."""
    secrets = Secrets(settings)
    secret = secrets.encrypt(secrets.webhook_secret(owner))
    closed = ended(await committed(database, owner=owner, webhook={"url": url, "secret": secret}))
    delivery = due_delivery(closed, url=url).model_copy(update={"secret": secret})
    await RequestClaims(database).close(closed, delivery)
    return delivery


@asynccontextmanager
async def sending(database: Database, settings: Settings, server: DnsServer) -> AsyncIterator[None]:
    sender = WebhookSender(
        settings.model_copy(update={"mongo_database": database.name}),
        NameResolver(timeout_seconds=4, nameservers=[server.address]),
    )
    try:
        yield
    finally:
        await sender.close()


async def found(database: Database, delivery: Delivery) -> Delivery:
    (stored,) = await Outbox(database).of_request(delivery.request_id)
    return stored


async def test_endpoints_with_silent_names_keep_no_other_waiting_and_lose_no_attempt(
    database: Database, isolated: Settings, server: DnsServer, origin: Origin
) -> None:
    settings = isolated.model_copy(update={"connect_timeout_seconds": 5, "webhook_timeout_seconds": 10})
    silent = [await due(database, settings, f"https://n{number}.evil.example/") for number in range(SILENT)]
    origin.route("/hook", reply())
    good = await due(database, settings, f"http://shop.example:{origin.port}/hook", owner="other")
    async with sending(database, settings, server):

        async def is_delivered() -> bool:
            return (await found(database, good)).state is DeliveryState.DELIVERED

        await wait_until_async(is_delivered, "the good endpoint is called", timeout_seconds=5)

        async def are_postponed() -> bool:
            return all([(await found(database, each)).unresolved_since is not None for each in silent])

        await wait_until_async(are_postponed, "all others are due later")
    for each in silent:
        stored = await found(database, each)
        assert (stored.state, stored.attempts, stored.responses) == (DeliveryState.PENDING, 0, [])


async def test_a_name_that_stays_silent_uses_up_the_attempts_in_the_end(
    database: Database, isolated: Settings, server: DnsServer
) -> None:
    settings = isolated.model_copy(update={"source_away_seconds": 0.01, "webhook_retry_seconds": (0.1,)})
    server.zone = {"shop.example": Fault.SERVFAIL}
    delivery = await due(database, settings, "https://shop.example/")
    async with sending(database, settings, server):

        async def has_failed() -> bool:
            return (await found(database, delivery)).state is DeliveryState.FAILED

        await wait_until_async(has_failed, "the delivery has failed")
    stored = await found(database, delivery)
    assert [response.error for response in stored.responses] == ["no name server answered for the host"] * 2


async def test_a_refused_endpoint_is_told_no_reason(database: Database, isolated: Settings, server: DnsServer) -> None:
    settings = isolated.model_copy(update={"webhook_retry_seconds": ()})
    server.zone = {"shop.example": ["10.0.0.1"]}
    delivery = await due(database, settings, "https://shop.example/")
    async with sending(database, settings, server):

        async def has_failed() -> bool:
            return (await found(database, delivery)).state is DeliveryState.FAILED

        await wait_until_async(has_failed, "the delivery has failed")
    (response,) = (await found(database, delivery)).responses
    assert response.error == (
        "Darkroom may not connect to shop.example on port 443. Use a URL with a public host and one of the usual ports."
    )


async def answered(
    database: Database, settings: Settings, server: DnsServer, url: str, *, state: DeliveryState = DeliveryState.PENDING
) -> Delivery:
    """The delivery to an endpoint after its first call."""
    delivery = await due(database, settings, url)
    async with sending(database, settings, server):

        async def has_answered() -> bool:
            return bool((await found(database, delivery)).responses)

        await wait_until_async(has_answered, "the endpoint is called")
    stored = await found(database, delivery)
    assert stored.state is state
    return stored


@pytest.mark.parametrize(
    ("retry_after", "pauses_seconds"),
    [
        ("600", (600, 1_200)),
        (format_datetime(utc_now() + timedelta(days=400), usegmt=True), (86_400, 90_000)),
        ("999999999", (86_400, 90_000)),
        ("1", (80, 500)),  # the endpoint allows less than the schedule
        ("soon", (80, 500)),
    ],
)
async def test_retry_after_of_an_endpoint_is_honoured(
    database: Database, isolated: Settings, server: DnsServer, retry_after: str, pauses_seconds: tuple[int, int]
) -> None:
    settings = isolated.model_copy(update={"webhook_retry_seconds": (100,)})
    with Origin() as origin:
        origin.route("/hook", reply(status=503, headers={"Retry-After": retry_after}))
        stored = await answered(database, settings, server, f"http://shop.example:{origin.port}/hook")
    least, most = pauses_seconds
    assert least <= (stored.next_attempt_at - stored.responses[0].at).total_seconds() <= most


async def test_the_target_of_a_redirect_is_recorded_and_not_called(
    database: Database, isolated: Settings, server: DnsServer, origin: Origin
) -> None:
    origin.route("/hook", redirect("https://shop.example/new?a=b", status=308))
    stored = await answered(database, isolated, server, f"http://shop.example:{origin.port}/hook")
    (response,) = stored.responses
    assert (response.http_status, response.location) == (308, "https://shop.example/new?a=b")
    assert [request.path for request in origin.requests] == ["/hook"]


async def test_the_longest_url_is_called(
    database: Database, isolated: Settings, server: DnsServer, origin: Origin
) -> None:
    url = f"http://shop.example:{origin.port}/hook?token="
    url += "a" * (MAX_URL_CHARACTERS - len(url))
    origin.route("/hook", reply())
    stored = await answered(database, isolated, server, url, state=DeliveryState.DELIVERED)
    assert stored.url == url
    assert url.endswith(origin.requests[0].path)


async def test_an_invalid_answer_is_named(
    database: Database, isolated: Settings, server: DnsServer, origin: Origin
) -> None:
    def garbled(exchange: Exchange) -> None:
        exchange.wfile.write(b"hello\r\n\r\n")
        exchange.close_connection = True

    origin.route("/hook", garbled)
    stored = await answered(database, isolated, server, f"http://shop.example:{origin.port}/hook")
    assert stored.responses[0].error == "the answer is not valid HTTP"
