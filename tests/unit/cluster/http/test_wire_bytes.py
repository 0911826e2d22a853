"""Answers whose bytes are mostly no part of an image. All bytes from the socket count."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.http.download import download
from cluster.http.session import guarded_session
from tests.support.origin import Origin, sequence
from tests.unit.cluster.http.downloads import BODY, LIMIT_BYTES, SETTINGS, failure, fetch
from tests.unit.cluster.http.raw import CHUNKED, OK, endless, length

if TYPE_CHECKING:
    from tests.support.origin import Answer, Exchange

PATIENCE_SECONDS = 60  # for many small reads on a busy machine
MEBIBYTE = 1024 * 1024
MAX_KERNEL_BYTES = 16 * MEBIBYTE
"""More than the buffers of both sockets hold. The client does not read these bytes."""

_GZIPPED = OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BODY)
_DEFLATED = OK + b"Content-Encoding: deflate\r\n\r\n"
_EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # stored, of no bytes, and not the last one

TOO_LARGE = f"The image is larger than the limit of {LIMIT_BYTES:,} bytes. Make it smaller."
TOO_MUCH_FRAMING = (
    "The source sent far more bytes than the image has, beside the image itself. Check the server of the image."
)
FLOODS = {
    "bytes behind the end of gzip": endless(_GZIPPED, b"a"),
    "empty blocks of deflate": endless(_DEFLATED + zlib.compress(BODY)[:2], _EMPTY_BLOCK),
    "interim answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "chunk extensions": endless(CHUNKED, b"1;" + b"a" * 500 + b"\r\nx\r\n"),
    "chunks of one byte": endless(CHUNKED, b"1\r\nx\r\n"),
}
FRAMING = {"interim answers", "chunk extensions", "chunks of one byte"}


def counted(answer: Answer, written: list[int]) -> Answer:
    """Return an answer that notes the sizes of its writes."""

    def answer_and_count(exchange: Exchange) -> None:
        write = exchange.wfile.write

        def count(data: bytes) -> int:
            sent = write(data)
            written.append(sent)
            return sent

        exchange.wfile.write = count  # type: ignore[assignment, method-assign]
        answer(exchange)

    return answer_and_count


@pytest.mark.parametrize("kind", FLOODS)
async def test_bytes_that_are_no_part_of_the_image_count(origin: Origin, kind: str) -> None:
    written: list[int] = []
    error = await failure(origin.route("/a.jpg", counted(FLOODS[kind], written)))
    assert error.code is ImageErrorCode.TOO_LARGE
    assert error.message == (TOO_MUCH_FRAMING if kind in FRAMING else TOO_LARGE)
    assert error.http_status == (None if kind == "interim answers" else 200)
    assert sum(written) < LIMIT_BYTES + LIMIT_BYTES // 8 + MEBIBYTE + MAX_KERNEL_BYTES


def as_it_is(data: bytes) -> Answer:
    def answer(exchange: Exchange) -> None:
        exchange.wfile.write(data)

    return answer


def chunked(body: bytes, chunk_bytes: int) -> bytes:
    parts = (body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes))
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("chunk_bytes", [1024, 128])
async def test_an_image_of_the_limit_may_come_in_small_chunks(origin: Origin, chunk_bytes: int) -> None:
    body = BODY[:4096] * 8192
    url = origin.route("/a.jpg", as_it_is(chunked(body, chunk_bytes)))
    assert await fetch(url, max_image_bytes=len(body), download_timeout_seconds=PATIENCE_SECONDS) == body


async def test_each_answer_counts_alone(origin: Origin) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20_000
    turn = early + b"HTTP/1.1 302 Found\r\nLocation: /a.jpg\r\nContent-Length: 0\r\n\r\n"
    image = early + length(LIMIT_BYTES) + bytes(LIMIT_BYTES)
    url = origin.route("/a.jpg", sequence(*[as_it_is(each) for each in (turn, turn, turn, image)]))
    settings = SETTINGS.model_copy(update={"download_timeout_seconds": PATIENCE_SECONDS})
    async with guarded_session(settings, max_connections=1) as session:
        for _ in range(3):
            assert (await download(session, url, settings=settings)).data == bytes(LIMIT_BYTES)
    assert len({request.client_port for request in origin.requests}) == 1
