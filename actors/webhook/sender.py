"""The actor that delivers callbacks from the outbox, signed by Standard Webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from standardwebhooks.webhooks import Webhook as Signer

from actors.self_fencing import fence_when_cut_off
from cluster.errors import BlockedAddressError, StoreUnavailableError
from cluster.http.session import guarded_session, request_url
from cluster.http.url import origin_of, parse_url
from cluster.mongo.connection import Database
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import WebhookAttempts
from cluster.records import Delivery, DeliveryResponse, DeliveryState, utc_now
from cluster.secrets import Secrets
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from cluster.settings import Settings

_POLL_SECONDS = 1.0
_STOP_SECONDS = 60.0  # after a drain, for the stop that it was for
_CONCURRENT_DELIVERIES = 50
_DELIVERIES_PER_HOST = 5  # so that one that never answers does not keep others waiting
_JITTER = 0.2  # of each pause, up and down
_GONE = 410
logger = logging.getLogger("darkroom.webhook")


class WebhookSender:
    """One for the deployment. The outbox in MongoDB is its queue; a notification only saves the wait for the next look.

    An attempt is claimed for longer than it can take, so that a delivery whose sender died is made again, with the
    same `webhook-id`.
    """

    def __init__(self, settings: Settings) -> None:
        log_as_json()
        self._settings = settings
        self._secrets = Secrets(settings)
        database = Database(settings)
        self._outbox = Outbox(database)
        self._attempts = WebhookAttempts(database)
        self._http = guarded_session(settings, max_connections=_CONCURRENT_DELIVERIES)
        self._free = asyncio.Semaphore(_CONCURRENT_DELIVERIES)
        self._calls: Counter[str] = Counter()  # that are being made, by the beginnings of their URLs
        self._draining = False
        self._wake = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = {loop.create_task(self._run()), loop.create_task(fence_when_cut_off(database, settings))}

    async def wake_up(self) -> None:
        """Something was put in the outbox: look now."""
        self._wake.set()

    async def ping(self) -> None:
        """Answers while this process lives."""

    async def drain(self) -> None:
        """Finish the calls that are being made and begin no others, for a stop of the whole deployment."""
        self._draining = True
        for _ in range(_CONCURRENT_DELIVERIES):
            await self._free.acquire()
        # A stop that was given up must not leave an outbox that nobody empties.
        asyncio.get_running_loop().call_later(_STOP_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._draining = False
        for _ in range(_CONCURRENT_DELIVERIES):
            self._free.release()

    async def _run(self) -> None:
        while True:
            try:
                await self._deliver_due()
            except StoreUnavailableError as error:
                logger.warning("waiting: %s", error)
            except Exception:  # the outbox must not stop at what we did not foresee
                logger.exception("the outbox stumbled; trying again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
            self._wake.clear()

    async def _deliver_due(self) -> None:
        while True:
            await self._free.acquire()
            delivery = None
            try:
                if not self._draining:
                    delivery = await self._claim_due()
            finally:
                if delivery is None:
                    self._free.release()
            if delivery is None:
                return
            origin = origin_of(delivery.url).lower()
            self._calls[origin] += 1
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(partial(self._finished, origin))

    async def _claim_due(self) -> Delivery | None:
        busy = [origin for origin, calls in self._calls.items() if calls >= _DELIVERIES_PER_HOST]
        return await self._outbox.claim_due(lease_seconds=2 * self._settings.webhook_timeout_seconds, but_not_to=busy)

    def _finished(self, origin: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if self._calls[origin] == _DELIVERIES_PER_HOST:
            self._wake.set()  # others for it may have waited
        self._calls -= Counter((origin,))  # which also forgets those without any
        if not task.cancelled() and task.exception() is not None:
            # Its lease ends, and it is due again.
            logger.error("delivery interrupted", exc_info=task.exception())

    async def _deliver(self, delivery: Delivery) -> None:
        response = await self._post(delivery)
        state, pause_seconds = self._verdict(delivery, response)
        next_attempt_at = utc_now() + timedelta(seconds=pause_seconds)
        await self._attempts.record(delivery, response, state=state, next_attempt_at=next_attempt_at)
        logger.info(
            "webhook %s",
            state,
            extra={
                "requestId": delivery.request_id,
                "attempt": delivery.attempts + 1,
                "httpStatus": response.http_status,
            },
        )

    async def _post(self, delivery: Delivery) -> DeliveryResponse:
        started_at, started = utc_now(), time.monotonic()
        status, error = None, None
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_seconds):
                status = await self._send(delivery)
        except BlockedAddressError:
            error = "the address is not public"
        except aiohttp.ClientError as problem:
            error = type(problem).__name__
        except TimeoutError:
            error = f"no answer within {self._settings.webhook_timeout_seconds:g} s"
        except Exception:  # for example a secret that another DARKROOM_SECRET_KEY has encrypted
            logger.exception("webhook not sent", extra={"requestId": delivery.request_id})
            error = "internal error"
        return DeliveryResponse(
            at=started_at, http_status=status, error=error, duration_seconds=round(time.monotonic() - started, 3)
        )

    async def _send(self, delivery: Delivery) -> int:
        """The answer's status; its body is not read."""
        now = utc_now()
        signer = Signer(self._secrets.decrypt(delivery.secret))
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.sign(delivery.delivery_id, now, delivery.payload),
        }
        url, body = request_url(parse_url(delivery.url)), delivery.payload.encode()
        async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return answer.status

    def _verdict(self, delivery: Delivery, response: DeliveryResponse) -> tuple[DeliveryState, float]:
        """What the answer means, and how long to wait before the next attempt. Redirects are not followed."""
        status = response.http_status
        if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return DeliveryState.DELIVERED, 0
        pauses = self._settings.webhook_retry_seconds
        if status == _GONE or delivery.attempts >= len(pauses):
            return DeliveryState.FAILED, 0
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter needs no secrecy
        return DeliveryState.PENDING, pauses[delivery.attempts] * jitter
