from __future__ import annotations

import json

import pytest

from actors.request.webhook_event import callback
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

NO_SHARE = ProcessingRequest(
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


def test_a_callback_says_what_became_of_the_request_and_no_secret() -> None:
    delivery = callback(NO_SHARE, public_url="https://darkroom.example/")
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
def test_links_are_absolute_when_the_service_knows_where_it_is(public_url: str | None) -> None:
    delivery = callback(NO_SHARE, public_url=public_url)
    assert delivery is not None
    status = json.loads(delivery.payload)["data"]["links"]["status"]
    assert status == f"{public_url or ''}/api/status/req_1"


def test_a_failed_request_has_an_event_of_its_own() -> None:
    failed = NO_SHARE.model_copy(update={"status": Status.FAILED, "reason": Reason.ALL_IMAGES_FAILED})
    delivery = callback(failed, public_url=None)
    assert delivery is not None
    assert delivery.event == "request.failed"
    assert json.loads(delivery.payload)["data"]["reason"] == "all_images_failed"


def test_nobody_is_called_who_did_not_ask() -> None:
    assert callback(NO_SHARE.model_copy(update={"webhook": None}), public_url=None) is None
