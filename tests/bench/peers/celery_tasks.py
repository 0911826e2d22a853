"""A Celery worker as most people have it: requests, Pillow and boto3, a session and a client per process."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import boto3
import requests
from celery import Celery

from tests.bench.codecs.by_pillow import compress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TIMEOUT_SECONDS = 30

app = Celery("bench", broker=os.environ["BENCH_CELERY_URL"], backend=os.environ["BENCH_CELERY_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


def _process_image(url: str, key: str, quality: int, *, optimise: bool) -> None:
    response = _session().get(url, timeout=_TIMEOUT_SECONDS)
    response.raise_for_status()
    output = compress(response.content, quality=quality, optimise=optimise)
    _s3().put_object(Bucket=os.environ["BENCH_BUCKET"], Key=key, Body=output, ContentType="image/jpeg")


@functools.lru_cache(maxsize=1)
def _session() -> requests.Session:
    return requests.Session()


@functools.lru_cache(maxsize=1)
def _s3() -> S3Client:
    return boto3.client("s3", endpoint_url=os.environ["BENCH_S3_ENDPOINT"], region_name=os.environ["BENCH_S3_REGION"])


process_image = app.task(_process_image, name="process_image")
