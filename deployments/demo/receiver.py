"""The demo's webhook endpoint, which accepts only calls with a valid signature."""

from __future__ import annotations

import base64
import json
import queue
import secrets
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from deployments.demo.loopback import LoopbackServer, QuietHandler

SECRET_BYTES = 32


@dataclass(frozen=True)
class ReceivedWebhook:
    """A call that came in."""

    webhook_id: str
    signature_valid: bool
    payload: dict[str, Any]  # empty unless the signature is valid

    @property
    def event(self) -> str:
        """The event that the call reports, for example `request.completed`."""
        return str(self.payload.get("type", ""))


class WebhookReceiver(LoopbackServer):
    """Receives calls by Standard Webhooks and verifies them with a secret of its own."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        self._received: queue.Queue[ReceivedWebhook] = queue.Queue()
        super().__init__(_handler(Webhook(self.secret), self._received))

    @property
    def webhook_url(self) -> str:
        """The URL for the calls."""
        return f"{self.url}/webhook"

    def wait(self, *, timeout_seconds: float) -> ReceivedWebhook | None:
        """Return the next call, or None when it does not come in time."""
        try:
            return self._received.get(timeout=timeout_seconds)
        except queue.Empty:
            return None


def verify(webhook: Webhook, body: bytes, headers: dict[str, str]) -> ReceivedWebhook:
    """Read a call. Its payload is kept only when the signature is valid."""
    webhook_id = headers.get("webhook-id", "")
    try:
        webhook.verify(body, headers, json_parse=False)
        return ReceivedWebhook(webhook_id, signature_valid=True, payload=json.loads(body))
    except (WebhookVerificationError, ValueError):  # ValueError: a signature without a comma, a body that is not JSON
        return ReceivedWebhook(webhook_id, signature_valid=False, payload={})


def _handler(webhook: Webhook, received: queue.Queue[ReceivedWebhook]) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def post(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            call = verify(webhook, body, {name.lower(): value for name, value in self.headers.items()})
            received.put(call)
            self.answer(204 if call.signature_valid else 401)

    return Handler
