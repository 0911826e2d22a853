"""The writer of objects to the bucket. A put by the client of boto3 takes four times as long, so this does without."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import botocore.session
import certifi
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.utils import get_environ_proxies
from yarl import URL

from cluster.errors import StoreUnavailableError
from cluster.http.pool import Pool
from cluster.http.url import in_path, in_subdomain, scheme_of_store

if TYPE_CHECKING:
    from cluster.settings import Settings

_CREDENTIALS_MAX_AGE_SECONDS = 30  # after which botocore is asked for fresh ones
_MAX_ANSWER_BYTES = 4096
_MIN_PUT_BYTES_PER_SECOND = 100_000  # a slower S3 counts as silent
_PUBLIC_CACHE_CONTROL = "public, max-age=31536000, immutable"  # no output of a key ever changes
_ERROR_CODE = re.compile(rb"<Code>(\w+)</Code>")


class ObjectWriter:
    """A writer that puts objects over pooled connections.

    botocore signs each put with the SHA-256 of the payload. S3 checks the body against it. Create and use a writer in
    one event loop.

    Args:
        settings: The bucket, its region, its encryption, the `Cache-Control` of outputs and the timeout of a store.
        max_connections: The limit on puts at once.
    """

    def __init__(self, settings: Settings, *, max_connections: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._bucket = settings.s3_bucket
        self._region = settings.s3_region
        self._timeout_seconds = settings.store_timeout_seconds
        self._aws = botocore.session.Session()
        self.bucket_url = _bucket_url(self._aws, settings)
        sse = settings.s3_server_side_encryption
        self._headers = {} if sse is None else {"x-amz-server-side-encryption": sse}
        self._cache_control = _cache_control(settings)
        self._signer: S3SigV4Auth | None = None
        self._signer_until = 0.0
        authorities = self._aws.get_config_variable("ca_bundle") or certifi.where()
        proxies = get_environ_proxies(self.bucket_url)  # as boto3 does
        self._http = aiohttp.ClientSession(
            connector=Pool(limit=max_connections, ssl=ssl.create_default_context(cafile=authorities)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            proxy=proxies.get(scheme_of_store(self.bucket_url)),
        )

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store an object. An object with the same key is replaced.

        Raises:
            StoreUnavailableError: S3 does not answer, or refuses the put.
        """
        status, body = await self._send(key, data, {"Content-Type": content_type, **self._cache_control})
        if status != HTTPStatus.OK:
            raise StoreUnavailableError("s3", _error_code(body, status))

    async def copy(self, source_key: str, key: str) -> bool:
        """Copy an object to another key, with its `Cache-Control`. Return False if there is no such object.

        Raises:
            StoreUnavailableError: S3 does not answer, or refuses the copy.
        """
        source = f"{self._bucket}/{quote(source_key)}"
        status, body = await self._send(key, b"", {"x-amz-copy-source": source})
        if status == HTTPStatus.NOT_FOUND:
            return False
        # S3 may answer 200 and fail after that. The body then holds an error.
        if status != HTTPStatus.OK or b"CopyObjectResult" not in body:
            raise StoreUnavailableError("s3", _error_code(body, status))
        return True

    async def _send(self, key: str, data: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and the beginning of the body."""
        url = f"{self.bucket_url.rstrip('/')}/{quote(key)}"
        try:
            request = AWSRequest("PUT", url, headers={**self._headers, **headers}, data=data)
            (await self._fresh_signer()).add_auth(request)
            # The data goes as a file, because aiohttp would write bytes in one go, however large they are.
            answer = await self._http.put(
                URL(url, encoded=True),
                data=io.BytesIO(data),
                headers={**request.headers, "Content-Length": str(len(data))},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds + len(data) / _MIN_PUT_BYTES_PER_SECOND),
            )
            async with answer:
                # The body of a successful put holds nothing of use.
                is_done = answer.status == HTTPStatus.OK and bool(data)
                return answer.status, b"" if is_done else await _beginning(answer.content)
        except (aiohttp.ClientError, BotoCoreError, TimeoutError, OSError) as error:
            raise StoreUnavailableError("s3", type(error).__name__) from error

    async def _fresh_signer(self) -> S3SigV4Auth:
        if self._signer is None or self._loop.time() > self._signer_until:
            # This runs in a thread, because fresh credentials may come over the network.
            self._signer = await asyncio.to_thread(self._make_signer)
            self._signer_until = self._loop.time() + _CREDENTIALS_MAX_AGE_SECONDS
        return self._signer

    def _make_signer(self) -> S3SigV4Auth:
        credentials = self._aws.get_credentials()
        frozen = None if credentials is None else credentials.get_frozen_credentials()
        if frozen is None:
            raise StoreUnavailableError("s3", "NoCredentialsError")
        return S3SigV4Auth(frozen, "s3", self._region)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


async def _beginning(stream: aiohttp.StreamReader) -> bytes:
    """Return the whole of a short body, or the beginning of a long one."""
    body = b""
    while len(body) < _MAX_ANSWER_BYTES and (part := await stream.read(_MAX_ANSWER_BYTES)):
        body += part
    return body


def object_key(request_id: str, row: int, index: int, extension: str, name: str = "") -> str:
    """Return the key of an output. It is the same for every attempt at the image, so that the image is stored once.

    `name` is the name of the output if an image has several.
    """
    suffix = f"-{name}" if name else ""
    return f"{request_id}/{row}/{index}{suffix}.{extension}"


def _cache_control(settings: Settings) -> dict[str, str]:
    value = settings.s3_cache_control
    if value is None and settings.s3_public_url is not None:
        value = _PUBLIC_CACHE_CONTROL
    return {"Cache-Control": value} if value else {}


def _bucket_url(aws: botocore.session.Session, settings: Settings) -> str:
    bucket = settings.s3_bucket
    if settings.s3_endpoint_url is not None:
        return in_path(settings.s3_endpoint_url, bucket)
    # botocore knows the host name of every region.
    endpoint: str = aws.create_client("s3", region_name=settings.s3_region).meta.endpoint_url
    # The certificate for *.s3.amazonaws.com does not cover a name with another dot.
    return in_path(endpoint, bucket) if "." in bucket else in_subdomain(endpoint, bucket)


def _error_code(body: bytes, status: int) -> str:
    found = _ERROR_CODE.search(body)
    return found[1].decode() if found else f"status {status}"
