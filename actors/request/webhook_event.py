"""The webhook that tells of the end of a request, as the outbox holds it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from cluster.identifiers import new_identifier
from cluster.records import Delivery, Status

if TYPE_CHECKING:
    from cluster.records import ProcessingRequest


def closing_delivery(closed: ProcessingRequest, *, public_url: str | None) -> Delivery | None:
    """Return the delivery, or None when the request has no webhook.

    Args:
        closed: The request as it ended.
        public_url: The beginning of the payload's links, which makes them absolute.
    """
    if closed.webhook is None:
        return None
    assert closed.completed_at is not None  # noqa: S101 - it has ended
    event: Literal["request.completed", "request.failed"]
    event = "request.completed" if closed.status is Status.COMPLETED else "request.failed"
    at = closed.completed_at
    payload = {"type": event, "timestamp": at.isoformat(), "data": _data(closed, public_url or "")}
    return Delivery(
        delivery_id=new_identifier("msg"),
        request_id=closed.request_id,
        owner=closed.owner,
        url=closed.webhook.url,
        secret=closed.webhook.secret,
        event=event,
        payload=json.dumps(payload, separators=(",", ":")),
        next_attempt_at=at,
        created_at=at,
    )


def _data(closed: ProcessingRequest, base_url: str) -> dict[str, Any]:
    shown = {"request_id", "status", "reason", "filename", "counts", "bytes", "failures", "created_at", "completed_at"}
    base_url = base_url.rstrip("/")
    return closed.model_dump(mode="json", include=shown) | {
        "links": {
            "status": f"{base_url}/api/status/{closed.request_id}",
            "results": f"{base_url}/api/requests/{closed.request_id}/results.csv",
        },
    }
