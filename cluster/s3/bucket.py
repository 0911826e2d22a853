"""The S3 bucket that holds the outputs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from cluster.settings import Settings

_LINK_VALIDITY_SECONDS = 7 * 24 * 3600  # the maximum for a presigned link
_MAX_CONNECTIONS = 32
_DEFAULT_REGION = "us-east-1"
_MAX_CALLS = 3


class Bucket:
    """One bucket. Its calls block, so use it from threads. `ObjectWriter` stores objects.

    Every method but `link` raises `StoreUnavailableError` if S3 does not answer or refuses the call.
    """

    def __init__(self, settings: Settings) -> None:
        self._name = settings.s3_bucket
        self._public_url = settings.s3_public_url
        # AWS demands the constraint in every region but this one.
        constrained = settings.s3_endpoint_url is None and settings.s3_region != _DEFAULT_REGION
        self._location: dict[str, Any] = (
            {"CreateBucketConfiguration": {"LocationConstraint": settings.s3_region}} if constrained else {}
        )
        # The default session would keep the first credentials that it found for ever.
        self._s3: S3Client = boto3.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            config=Config(
                connect_timeout=settings.store_timeout_seconds,
                read_timeout=settings.store_timeout_seconds,
                retries={"total_max_attempts": _MAX_CALLS, "mode": "standard"},
                max_pool_connections=_MAX_CONNECTIONS,
                signature_version="s3v4",
                s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def ensure(self) -> None:
        """Create the bucket if it does not exist."""
        with s3_errors():
            try:
                self._s3.head_bucket(Bucket=self._name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
                    raise
                self._s3.create_bucket(Bucket=self._name, **self._location)

    def ping(self) -> None:
        """Check that the bucket can be reached."""
        with s3_errors():
            self._s3.head_bucket(Bucket=self._name)

    def delete_all(self, prefix: str) -> None:
        """Delete every object whose key begins with the prefix."""
        with s3_errors():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                keys: list[ObjectIdentifierTypeDef] = [{"Key": each["Key"]} for each in page.get("Contents", [])]
                if keys:
                    answer = self._s3.delete_objects(Bucket=self._name, Delete={"Objects": keys, "Quiet": True})
                    for error in answer.get("Errors", []):
                        raise StoreUnavailableError("s3", error.get("Code", "ClientError"))

    def link(self, key: str) -> str:
        """Return the link to an object: under the public URL if that is set, else presigned for 7 days."""
        if self._public_url is not None:
            return f"{self._public_url.rstrip('/')}/{quote(key)}"
        return self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self._name, "Key": key}, ExpiresIn=_LINK_VALIDITY_SECONDS
        )

    def close(self) -> None:
        """Close all connections."""
        self._s3.close()


@contextmanager
def s3_errors() -> Iterator[None]:
    """Raise `StoreUnavailableError` if S3 is away, is overloaded or refuses the call. All three are for you to mend."""
    try:
        yield
    except BotoCoreError as error:  # for example no connection, or no credentials
        raise StoreUnavailableError("s3", type(error).__name__) from error
    except ClientError as error:
        raise StoreUnavailableError("s3", error.response.get("Error", {}).get("Code", "ClientError")) from error
