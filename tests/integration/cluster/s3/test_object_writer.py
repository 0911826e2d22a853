from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster.errors import StoreUnavailableError
from cluster.identifiers import new_identifier
from cluster.s3.bucket import Bucket
from cluster.s3.object_writer import ObjectWriter
from tests.support.origin import Origin, drip, hang_up, reply
from tests.support.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cluster.settings import Settings


async def put(settings: Settings, key: str, data: bytes = b"data") -> None:
    writer = ObjectWriter(settings, max_connections=2)
    try:
        await writer.put(key, data, content_type="image/jpeg")
    finally:
        await writer.close()


@pytest.fixture
async def failing(isolated: Settings) -> AsyncIterator[tuple[Settings, Origin]]:
    """Settings that name a server of the test's own as S3."""
    with Origin() as origin:
        yield isolated.model_copy(update={"s3_endpoint_url": origin.url, "store_timeout_seconds": 1}), origin


@pytest.mark.parametrize("size_bytes", [0, 1, 200_000, 5_000_000])
async def test_an_object_that_was_put_can_be_read(isolated: Settings, size_bytes: int) -> None:
    key, data = f"{new_identifier('test')}/a b+c/é.jpg", os.urandom(size_bytes)
    await put(isolated, key, b"earlier")
    await put(isolated, key, data)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(Bucket(isolated).link(key))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content == data


@pytest.mark.parametrize(
    ("public_url", "cache_control", "expected"),
    [
        (None, None, None),
        ("https://cdn.example", None, "public, max-age=31536000, immutable"),
        ("https://cdn.example", "public, max-age=60", "public, max-age=60"),
        ("https://cdn.example", "", None),
        (None, "private", "private"),
    ],
)
async def test_an_output_has_the_cache_control_of_the_settings(
    isolated: Settings, public_url: str | None, cache_control: str | None, expected: str | None
) -> None:
    key = f"{new_identifier('test')}/a.jpg"
    settings = isolated.model_copy(update={"s3_public_url": public_url, "s3_cache_control": cache_control})
    writer = ObjectWriter(settings, max_connections=2)
    try:
        await writer.put(key, b"data", content_type="image/jpeg")
        assert await writer.copy(key, f"{key}.copy")
    finally:
        await writer.close()
    bucket = Bucket(isolated)
    async with httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(bucket.link(each)) for each in (key, f"{key}.copy")]
    assert [answer.headers.get("cache-control") for answer in answers] == [expected] * 2


async def test_a_large_object_may_take_longer_than_a_call_on_a_slow_line(isolated: Settings) -> None:
    there, key = httpx.URL(str(isolated.s3_endpoint_url)), f"{new_identifier('test')}/large"
    assert there.port is not None
    with Proxy(there.port) as proxy:
        behind = {"s3_endpoint_url": str(there.copy_with(port=proxy.port)), "store_timeout_seconds": 1}
        proxy.fault = Fault.DELAY
        started = time.monotonic()
        await put(isolated.model_copy(update=behind), key, os.urandom(500_000))
        assert time.monotonic() - started > 1
        proxy.fault = Fault.SILENCE
        with pytest.raises(StoreUnavailableError, match="TimeoutError"):
            await put(isolated.model_copy(update=behind), key, b"small")


async def test_credentials_that_are_wrong(isolated: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreUnavailableError, match="s3 does not answer: SignatureDoesNotMatch"):
        await put(isolated, "key")


async def test_no_credentials(isolated: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StoreUnavailableError, match="NoCredentialsError"):
        await put(isolated, "key")


async def test_a_netrc_is_not_read(isolated: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await put(isolated, new_identifier("test"))


async def test_a_proxy_is_used_as_by_boto3(failing: tuple[Settings, Origin], monkeypatch: pytest.MonkeyPatch) -> None:
    settings, origin = failing
    monkeypatch.setenv("HTTP_PROXY", origin.url)
    origin.route(f"/{settings.s3_bucket}/key", reply())
    await put(settings.model_copy(update={"s3_endpoint_url": "http://s3.example"}), "key")
    assert origin.requests[0].path == f"http://s3.example/{settings.s3_bucket}/key"


async def test_encryption_and_checksum_are_asked_for(failing: tuple[Settings, Origin]) -> None:
    settings, origin = failing
    origin.route(f"/{settings.s3_bucket}/key", reply())
    await put(settings.model_copy(update={"s3_server_side_encryption": "aws:kms"}), "key")
    headers = origin.requests[0].headers
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-content-sha256"] == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    assert "x-amz-server-side-encryption" in headers["authorization"]
    assert origin.requests[0].body == b"data"


async def test_refusals_and_answers_that_are_none(failing: tuple[Settings, Origin]) -> None:
    settings, origin = failing
    origin.route(f"/{settings.s3_bucket}/key", reply(b"<Error><Code>SlowDown</Code></Error>", status=503))
    with pytest.raises(StoreUnavailableError, match="s3 does not answer: SlowDown"):
        await put(settings, "key")
    origin.route(f"/{settings.s3_bucket}/key", reply(b"<html>", status=502))
    with pytest.raises(StoreUnavailableError, match="status 502"):
        await put(settings, "key")
    origin.route(f"/{settings.s3_bucket}/key", hang_up())
    with pytest.raises(StoreUnavailableError, match="ServerDisconnectedError"):
        await put(settings, "key")
    origin.route(f"/{settings.s3_bucket}/key", drip(bytes(1000), chunk_bytes=1, pause_seconds=1))
    await put(settings, "key")  # the status has come; the body is not waited for
    settings = settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreUnavailableError, match="ClientConnectorError"):
        await put(settings, "key")


async def test_the_regions_of_aws_have_their_own_hosts(isolated: Settings) -> None:
    aws = isolated.model_copy(update={"s3_endpoint_url": None, "s3_region": "eu-central-1", "s3_bucket": "shop"})
    for bucket, url in [
        ("shop", "https://shop.s3.eu-central-1.amazonaws.com"),
        ("shop.example", "https://s3.eu-central-1.amazonaws.com/shop.example"),
    ]:
        writer = ObjectWriter(aws.model_copy(update={"s3_bucket": bucket}), max_connections=1)
        await writer.close()
        assert writer.bucket_url.rstrip("/") == url
