"""The demo's image host and its webhook endpoint, over real HTTP."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from standardwebhooks import Webhook

from deployments.demo.image_host import DRIP_SECONDS, Behaviour, ImageHost, SourceImage, broken
from deployments.demo.receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def image_host(tmp_path: Path) -> Iterator[ImageHost]:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    (folder / "a chair.jpg").write_bytes(CONTENT)
    (folder / "sub" / "hidden.jpg").write_bytes(b"hidden")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with ImageHost(folder) as running:
        yield running


def test_each_behaviour_serves_what_it_says(image_host: ImageHost) -> None:
    plain = httpx.get(image_host.url_of(SourceImage("a chair.jpg")))
    assert (plain.status_code, plain.content, plain.headers["content-type"]) == (200, CONTENT, "image/jpeg")
    cut = httpx.get(image_host.url_of(SourceImage("a chair.jpg", Behaviour.BROKEN)))
    assert (cut.status_code, cut.content) == (200, broken(CONTENT))
    assert 0 < len(cut.content) < len(CONTENT)
    assert httpx.get(image_host.url_of(SourceImage("a chair.jpg", Behaviour.MISSING))).status_code == 404


def test_the_slow_one_drips_and_is_whole(image_host: ImageHost) -> None:
    started = time.monotonic()
    response = httpx.get(image_host.url_of(SourceImage("a chair.jpg", Behaviour.SLOW)), timeout=10)
    assert response.content == CONTENT
    assert time.monotonic() - started >= DRIP_SECONDS * 0.9


@pytest.mark.parametrize("path", ["pictures/..%2Fsecret.jpg", "pictures/sub%2Fhidden.jpg", "a chair.jpg", ""])
def test_nothing_else_is_served(image_host: ImageHost, path: str) -> None:
    assert httpx.get(f"{image_host.url}/{path}").status_code == 404


def test_the_image_host_takes_no_posts(image_host: ImageHost) -> None:
    assert httpx.post(image_host.url, content=b"x").status_code == 405


def test_a_signed_call_is_believed_and_another_is_not() -> None:
    body = json.dumps({"type": "request.completed", "data": {"requestId": "r"}})
    with WebhookReceiver() as receiver:
        for secret, expected in ((receiver.secret, 204), ("whsec_" + "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0", 401)):
            now = datetime.now(UTC)
            signature = Webhook(secret).sign("msg_1", now, body)
            headers = {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signature,
            }
            assert httpx.post(receiver.webhook_url, content=body, headers=headers).status_code == expected
        good, bad = receiver.wait(timeout_seconds=1), receiver.wait(timeout_seconds=1)
    assert good is not None
    assert (good.webhook_id, good.event, good.signature_valid) == ("msg_1", "request.completed", True)
    assert bad is not None
    assert (bad.signature_valid, bad.payload) == (False, {})


@pytest.mark.parametrize("signature", ["", "v1", "v1,!!"])
def test_a_malformed_signature_is_not_valid(signature: str) -> None:
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": signature,
    }
    with WebhookReceiver() as receiver:
        assert httpx.post(receiver.webhook_url, content=b"{}", headers=headers).status_code == 401


def test_no_call_in_time_is_none() -> None:
    with WebhookReceiver() as receiver:
        assert receiver.wait(timeout_seconds=0.01) is None
