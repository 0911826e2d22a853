"""The actor that delivers webhooks from the outbox, signed as Standard Webhooks says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import ray
from standardwebhooks.webhooks import Webhook as Signer

from actors.registry import Wakeable
from actors.self_fencing import fence_when_cut_off
from cluster.aio import Background, forever
from cluster.errors import BlockedAddressError
from cluster.http.head import redirect_target, retry_after_seconds
from cluster.http.names import NameSilentError
from cluster.http.session import guarded_session
from cluster.http.url import MAX_URL_CHARACTERS, origin_of, parse_url
from cluster.mongo.connection import Database
from cluster.mongo.outbox import Outbox
from cluster.mongo.requests import WebhookAttempts
from cluster.records import Delivery, DeliveryResponse, DeliveryState, utc_now
from cluster.retry import jittered
from cluster.secrets import Secrets
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.http.session import Resolve
    from cluster.settings import Settings

_OUTBOX_POLL_SECONDS = 1.0
_RESUME_AFTER_SECONDS = 60.0  # after a drain that no stop has followed
_CONCURRENT_DELIVERIES = 50
_DELIVERIES_PER_HOST = 5  # so that a host that never answers does not keep others waiting
_DELIVERIES_PER_KEY = 25  # so that one key's endpoints that never answer leave half of them to others
_JITTER = 0.2  # of each pause, up and down
_SILENT_NAME_PAUSE_SECONDS = 5.0
_SILENT_NAME = "no name server answered for the host"
_GONE = 410
_MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
logger = logging.getLogger("darkroom.webhook")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int | None
    location: str | None
    retry_after_seconds: float


_NO_ANSWER = _Answer(None, None, 0)


class WebhookSender(Wakeable):
    """One for the deployment. The outbox in MongoDB is its queue.

    A delivery is claimed for longer than an attempt can take. If the sender dies, the delivery is made again, with the
    same `webhook-id`.

    Args:
        settings: The settings of the deployment.
        resolve: A function from a host and a port to addresses. By default the resolver of the system's configuration.
    """

    def __init__(self, settings: Settings, resolve: Resolve | None = None) -> None:
        super().__init__()
        log_as_json()
        self._settings = settings
        self._secrets = Secrets(settings)
        self._database = database = Database(settings)
        self._outbox = Outbox(database)
        self._attempts = WebhookAttempts(database)
        self._http = guarded_session(settings, max_connections=_CONCURRENT_DELIVERIES, resolve=resolve)
        self._free_deliveries = asyncio.Semaphore(_CONCURRENT_DELIVERIES)
        self._running: Counter[str] = Counter()  # deliveries, by the origins of their URLs
        self._running_of_keys: Counter[str] = Counter()
        self._draining = False
        self._background = Background()
        self._background.start(fence_when_cut_off(database, settings))
        self._background.start(
            forever(self._deliver_due, lambda: self._wait_for_wake_up(_OUTBOX_POLL_SECONDS), "the webhook sender")
        )

    async def close(self) -> None:
        """Break off all deliveries, and close all connections."""
        await self._background.end()
        await self._http.close()
        await self._database.close()

    @ray.method
    async def drain(self) -> None:
        """Finish the deliveries that run and begin no others, for a stop of the whole deployment."""
        self._draining = True
        for _ in range(_CONCURRENT_DELIVERIES):
            await self._free_deliveries.acquire()
        # If the stop is given up, the outbox must be emptied again.
        asyncio.get_running_loop().call_later(_RESUME_AFTER_SECONDS, self._resume)

    def _resume(self) -> None:
        self._draining = False
        for _ in range(_CONCURRENT_DELIVERIES):
            self._free_deliveries.release()

    async def _deliver_due(self) -> None:
        while True:
            await self._free_deliveries.acquire()
            delivery = None
            try:
                if not self._draining:
                    delivery = await self._claim_due()
            finally:
                if delivery is None:
                    self._free_deliveries.release()
            if delivery is None:
                return
            origin = origin_of(delivery.url)
            self._running[origin] += 1
            self._running_of_keys[delivery.owner] += 1
            finished = partial(self._finished, origin, delivery.owner)
            self._background.start(self._deliver(delivery)).add_done_callback(finished)

    async def _claim_due(self) -> Delivery | None:
        return await self._outbox.claim_due(
            lease_seconds=2 * self._settings.webhook_timeout_seconds,
            but_not_to=[origin for origin, running in self._running.items() if running >= _DELIVERIES_PER_HOST],
            but_not_of=[key for key, running in self._running_of_keys.items() if running >= _DELIVERIES_PER_KEY],
        )

    def _finished(self, origin: str, key: str, task: asyncio.Task[None]) -> None:
        self._free_deliveries.release()
        if self._running[origin] == _DELIVERIES_PER_HOST or self._running_of_keys[key] == _DELIVERIES_PER_KEY:
            self._woken.set()  # other deliveries to it may have waited
        self._running -= Counter((origin,))  # which also forgets origins without any
        self._running_of_keys -= Counter((key,))
        if not task.cancelled() and task.exception() is not None:
            # Its lease ends, and then it is due again.
            logger.error("delivery interrupted", exc_info=task.exception())

    async def _deliver(self, delivery: Delivery) -> None:
        response, asked_seconds = await self._post(delivery)
        if response.error == _SILENT_NAME and await self._postpone(delivery, response.at):
            return
        state, pause_seconds = self._verdict(delivery, response, asked_seconds)
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

    async def _postpone(self, delivery: Delivery, now: datetime) -> bool:
        """Return whether the delivery was made due later. A silent name uses up no attempt for a while."""
        since = delivery.unresolved_since or now
        if (now - since).total_seconds() >= self._settings.source_away_seconds:
            return False
        pause = timedelta(seconds=jittered(_SILENT_NAME_PAUSE_SECONDS, _JITTER))
        await self._outbox.postpone(delivery, next_attempt_at=now + pause, unresolved_since=since)
        return True

    async def _post(self, delivery: Delivery) -> tuple[DeliveryResponse, float]:
        """Return the response, and the seconds of its `Retry-After`."""
        started_at, started = utc_now(), time.monotonic()
        answer, error = _NO_ANSWER, None
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_seconds):
                answer = await self._send(delivery)
        except BlockedAddressError as problem:
            error = str(problem)
        except aiohttp.ClientConnectorDNSError as problem:
            is_silent = isinstance(problem.os_error, NameSilentError)
            error = _SILENT_NAME if is_silent else "the host name could not be resolved"
        except aiohttp.ClientResponseError:
            error = "the answer is not valid HTTP"
        except aiohttp.ClientError as problem:
            error = type(problem).__name__
        except TimeoutError:
            error = f"no answer within {self._settings.webhook_timeout_seconds:g} s"
        except Exception:  # for example a secret that another DARKROOM_SECRET_KEY has encrypted
            logger.exception("webhook not sent", extra={"requestId": delivery.request_id})
            error = "internal error"
        response = DeliveryResponse(
            at=started_at,
            http_status=answer.status,
            error=error,
            location=answer.location,
            duration_seconds=round(time.monotonic() - started, 3),
        )
        return response, answer.retry_after_seconds

    async def _send(self, delivery: Delivery) -> _Answer:
        """Post a delivery. Returns the head of the answer, whose body is not read."""
        now = utc_now()
        signer = Signer(self._secrets.decrypt(delivery.secret))
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.sign(delivery.delivery_id, now, delivery.payload),
        }
        url, body = parse_url(delivery.url).for_aiohttp, delivery.payload.encode()
        async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            asked_seconds = retry_after_seconds(answer.headers.get("Retry-After", "")) or 0
            location = redirect_target(answer.status, answer.headers)
            return _Answer(answer.status, location and location[:MAX_URL_CHARACTERS], asked_seconds)

    def _verdict(
        self, delivery: Delivery, response: DeliveryResponse, asked_seconds: float
    ) -> tuple[DeliveryState, float]:
        """Return the new state of a delivery, and the pause before its next attempt. Redirects are not followed."""
        status = response.http_status
        if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return DeliveryState.DELIVERED, 0
        pauses = self._settings.webhook_retry_seconds
        if status == _GONE or delivery.attempts >= len(pauses):
            return DeliveryState.FAILED, 0
        pause_seconds = jittered(pauses[delivery.attempts], _JITTER)
        return DeliveryState.PENDING, max(pause_seconds, min(asked_seconds, _MAX_RETRY_AFTER_SECONDS))
