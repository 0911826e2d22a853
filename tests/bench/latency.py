"""The latency of a warm and idle service: a large request's first object, a small one's webhook."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.pictures import product_photographs
from tests.bench.report import print_times
from tests.bench.source import Source
from tests.support.catalogues import catalogue
from tests.support.origin import Origin, reply
from tests.support.service import running_service, s3_client

if TYPE_CHECKING:
    from cluster.client import Darkroom
    from tests.support.service import Service

WARM_UP_IMAGES = 128
WEBHOOKS = 20
_POLL_SECONDS = 0.01
_RUN_SECONDS = 600
_IDLE_SECONDS = 1


def run(*, images: int, rounds: int) -> None:
    """Print both latencies."""
    with (
        Source(product_photographs()) as source,
        Origin() as receiver,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_service(Path(folder)) as service,
        service.client() as darkroom,
    ):
        _finish(darkroom, _submit(darkroom, source.urls(WARM_UP_IMAGES)))
        first = [_seconds_to_first_object(service, darkroom, source.urls(images)) for _ in range(rounds)]
        webhook = [_seconds_to_webhook(darkroom, receiver, source.urls(1), n) for n in range(WEBHOOKS)]
    print("### Latency on a warm, idle service")
    print()
    print("| from the upload to | p50 | p95 | slowest | of |")
    print("| --- | ---: | ---: | ---: | ---: |")
    print_times(f"the first of {images} objects in the bucket", first)
    print_times("the webhook of a one-image request", webhook)
    print(flush=True)


def _seconds_to_first_object(service: Service, darkroom: Darkroom, urls: list[str]) -> float:
    s3, bucket = s3_client(service.stack), service.settings.s3_bucket
    time.sleep(_IDLE_SECONDS)
    begun = time.monotonic()
    request_id = _submit(darkroom, urls)
    while not s3.list_objects_v2(Bucket=bucket, Prefix=f"{request_id}/", MaxKeys=1)["KeyCount"]:
        if time.monotonic() - begun > _RUN_SECONDS:
            raise TimeoutError(f"no object of {request_id} after {_RUN_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    seconds = time.monotonic() - begun
    _finish(darkroom, request_id)
    return seconds


def _seconds_to_webhook(darkroom: Darkroom, receiver: Origin, urls: list[str], number: int) -> float:
    path = f"/webhooks/{number}"
    webhook_url = receiver.route(path, reply(status=204))
    time.sleep(_IDLE_SECONDS)
    begun = time.monotonic()
    _submit(darkroom, urls, webhook_url=webhook_url)
    while not receiver.requests_to(path):
        if time.monotonic() - begun > _RUN_SECONDS:
            raise TimeoutError(f"no webhook after {_RUN_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return receiver.requests_to(path)[0].at - begun


def _submit(darkroom: Darkroom, urls: list[str], *, webhook_url: str | None = None) -> str:
    return darkroom.submit(catalogue(*[[url] for url in urls]), webhook_url=webhook_url).request_id


def _finish(darkroom: Darkroom, request_id: str) -> None:
    status = darkroom.wait(request_id, timeout_seconds=_RUN_SECONDS)
    if status.counts.failed:
        raise RuntimeError(f"{status.counts.failed} images failed: {status.failures}")
