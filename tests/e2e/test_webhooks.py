"""The callback as its receiver sees it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from standardwebhooks import Webhook

from tests.support.catalogues import catalogue
from tests.support.jobs import delivered, finished
from tests.support.origin import Origin, hang_up, reply, sequence
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from cluster.client import Darkroom
    from tests.support.origin import Exchange
    from tests.support.service import Service


pytestmark = pytest.mark.timeout(90)
AT_ONCE = 5
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_webhook_is_tried_until_it_is_accepted_with_one_id(darkroom: Darkroom, origin: Origin) -> None:
    shaky = sequence(reply(status=500), hang_up(), reply(status=200))
    hook = origin.route("/hook", shaky)
    photo = origin.route("/a.jpg", reply(jpeg()))
    status, _ = finished(darkroom, catalogue([photo]), webhook_url=hook, webhook_secret=SECRET)
    (delivery,) = delivered(darkroom, status.request_id)
    calls = origin.requests_to("/hook")
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    assert [response.get("httpStatus") for response in delivery.responses] == [500, None, 200]
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    for call in calls:
        Webhook(SECRET).verify(call.body, dict(call.headers))

    again = darkroom.redeliver(status.request_id, delivery.delivery_id)
    assert again.delivery_id == delivery.delivery_id
    wait_until(lambda: len(origin.requests_to("/hook")) == 4, "the webhook was sent again")
    assert origin.requests_to("/hook")[3].headers["webhook-id"] == delivery.delivery_id


def test_a_webhook_without_a_secret_is_signed_with_the_keys_own(
    darkroom: Darkroom, service: Service, origin: Origin
) -> None:
    hook = origin.route("/hook", reply(status=200))
    status, _ = finished(darkroom, catalogue([origin.url + "/x.jpg"]), webhook_url=hook)
    delivered(darkroom, status.request_id)
    (call,) = origin.requests_to("/hook")
    Webhook(service.webhook_secret).verify(call.body, dict(call.headers))


def test_a_webhook_that_is_never_accepted_is_given_up(darkroom: Darkroom, origin: Origin) -> None:
    hook = origin.route("/hook", reply(status=410))
    status, _ = finished(darkroom, catalogue([origin.url + "/x.jpg"]), webhook_url=hook, webhook_secret=SECRET)
    (delivery,) = delivered(darkroom, status.request_id)
    assert (delivery.state, delivery.attempts) == ("failed", 1)
    told = darkroom.status(status.request_id).webhook
    assert told is not None
    assert told.triggered is False


def test_a_host_is_called_five_times_at_once(darkroom: Darkroom, origin: Origin) -> None:
    lock, now, most, all_are_in = threading.Lock(), 0, 0, threading.Event()

    def slow(exchange: Exchange) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == AT_ONCE:
                all_are_in.set()
        all_are_in.wait(1)
        time.sleep(0.2)  # for one too many
        with lock:
            now -= 1
        reply(status=204)(exchange)

    hook = origin.route("/slow", slow)
    file = catalogue([origin.url + "/x.jpg"])
    submitted = [darkroom.submit(file, webhook_url=hook, webhook_secret=SECRET).request_id for _ in range(3 * AT_ONCE)]
    for request_id in submitted:
        darkroom.wait(request_id, timeout_seconds=30)
        (delivery,) = delivered(darkroom, request_id)
        assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert most == AT_ONCE
