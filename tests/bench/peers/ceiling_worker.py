"""A process of the ceiling: each line of its input is a job, and is answered with a line when the job is done."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.bench.codecs.by_pyvips import compress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIGNED = "content-type;host;x-amz-content-sha256;x-amz-date"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_TYPE = "image/jpeg"


class Signer:
    """AWS Signature Version 4 of puts to one bucket, their bodies left out.

    Args:
        environment: The environment, with the bucket, its endpoint and region, and the credentials.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.url = f"{environment['BENCH_S3_ENDPOINT']}/{environment['BENCH_BUCKET']}"
        self._host = environment["BENCH_S3_ENDPOINT"].partition("://")[2]
        self._path = f"/{environment['BENCH_BUCKET']}"
        self._region = environment["BENCH_S3_REGION"]
        self._access_key = environment["AWS_ACCESS_KEY_ID"]
        self._secret_key = environment["AWS_SECRET_ACCESS_KEY"]
        self._keys: dict[str, bytes] = {}

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers of the put of an object."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        day = moment[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        request = (
            f"PUT\n{self._path}/{key}\n\ncontent-type:{_TYPE}\nhost:{self._host}\n"
            f"x-amz-content-sha256:{_UNSIGNED}\nx-amz-date:{moment}\n\n{_SIGNED}\n{_UNSIGNED}"
        )
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(day), text.encode(), hashlib.sha256).hexdigest()
        credential = f"Credential={self._access_key}/{scope}"
        return {
            "content-type": _TYPE,
            "x-amz-content-sha256": _UNSIGNED,
            "x-amz-date": moment,
            "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={_SIGNED}, Signature={signature}",
        }

    def _signing_key(self, day: str) -> bytes:
        if day not in self._keys:
            key = f"AWS4{self._secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._keys[day] = key
        return self._keys[day]


class Worker:
    """The connections and the threads, kept from job to job."""

    def __init__(self, http: aiohttp.ClientSession, threads: ThreadPoolExecutor) -> None:
        self._http = http
        self._threads = threads
        self._signer = Signer(os.environ)

    async def do(self, job: dict[str, Any]) -> None:
        """Do all images of a job, which are pairs of a URL and a key."""
        images = iter(job["images"])
        async with asyncio.TaskGroup() as tasks:
            for _ in range(job["inFlight"]):
                tasks.create_task(self._do_each(images, job))

    async def _do_each(self, images: Iterator[tuple[str, str]], job: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        for url, key in images:
            async with self._http.get(url) as response:
                source = await response.read()
            output = await loop.run_in_executor(self._threads, functools.partial(compress, source, **job["settings"]))
            address = f"{self._signer.url}/{key}"
            async with self._http.put(address, data=output, headers=self._signer.headers(key)) as response:
                await response.read()


async def main(threads: int) -> None:
    """Do jobs until the input ends."""
    with ThreadPoolExecutor(threads) as pool:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), raise_for_status=True) as http:
            worker = Worker(http, pool)
            while line := await asyncio.to_thread(sys.stdin.readline):
                await worker.do(json.loads(line))
                print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
