from __future__ import annotations

import json

import pytest

from actors.request.webhook_event import closing_delivery
from cluster.codes import ImageErrorCode
from cluster.records import (
    ByteCounts,
    Counts,
    FailureCount,
    ProcessingRequest,
    Reason,
    Status,
    WebhookTarget,
    utc_now,
)

CLOSED = ProcessingRequest(
    request_id="req_1",
    owner="key",
    status=Status.COMPLETED,
    created_at=utc_now(),
    queued_at=utc_now(),
    completed_at=utc_now(),
    counts=Counts(rows=2, products=2, images=3, completed=2, failed=1),
    bytes=ByteCounts(in_=100, out=40),
    failures=[FailureCount(code=ImageErrorCode.NOT_FOUND, count=1, sample_url="https://shop.example/a.jpg")],
    columns=["No", "Name", "Images"],
    url_column=2,
    fingerprint="0",
    webhook=WebhookTarget(url="https://shop.example/hook", secret="encrypted"),
)


def test_a_webhook_tells_the_end_of_the_request_and_no_secret() -> None:
    delivery = closing_delivery(CLOSED, public_url="https://darkroom.example/")
    assert delivery is not None
    assert delivery.event == "request.completed"
    assert delivery.delivery_id.startswith("msg_")
    assert "encrypted" not in delivery.payload
    payload = json.loads(delivery.payload)
    assert payload["type"] == "request.completed"
    data = payload["data"]
    assert data["counts"] == {"rows": 2, "products": 2, "images": 3, "completed": 2, "failed": 1}
    assert data["bytes"] == {"in": 100, "out": 40}
    assert data["failures"] == [{"code": "not_found", "count": 1, "sampleUrl": "https://shop.example/a.jpg"}]
    assert data["links"]["results"] == "https://darkroom.example/api/requests/req_1/results.csv"


@pytest.mark.parametrize("public_url", [None, "https://darkroom.example"])
def test_links_are_absolute_when_the_public_url_is_set(public_url: str | None) -> None:
    delivery = closing_delivery(CLOSED, public_url=public_url)
    assert delivery is not None
    status = json.loads(delivery.payload)["data"]["links"]["status"]
    assert status == f"{public_url or ''}/api/status/req_1"


def test_a_failed_request_has_an_event_of_its_own() -> None:
    failed = CLOSED.model_copy(update={"status": Status.FAILED, "reason": Reason.ALL_IMAGES_FAILED})
    delivery = closing_delivery(failed, public_url=None)
    assert delivery is not None
    assert delivery.event == "request.failed"
    assert json.loads(delivery.payload)["data"]["reason"] == "all_images_failed"


def test_a_request_without_a_webhook_has_no_delivery() -> None:
    assert closing_delivery(CLOSED.model_copy(update={"webhook": None}), public_url=None) is None
