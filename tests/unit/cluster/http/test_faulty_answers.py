"""Downloads from a source that breaks the protocol, sends too much or is too slow."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import download
from cluster.http.session import guarded_session
from tests.support import origin as answers
from tests.support.origin import Origin, redirect, reply
from tests.unit.cluster.http.downloads import BODY, SETTINGS, failure, fetch
from tests.unit.cluster.http.raw import CHUNKED, OK, endless, length, packet_swallower, raw

if TYPE_CHECKING:
    from tests.support.origin import Answer, Exchange

HANG_UPS = [
    raw(),
    raw(reset=True),
    raw(b"HTTP/1.1 2"),
    raw(OK + b"Content-Le"),
    raw(OK + b"Content-Le", reset=True),
]
NOT_HTTP = [
    raw(b"hello world\r\n\r\n"),
    raw(b"SSH-2.0-OpenSSH_9.0\r\n"),
    raw(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello"),
    raw(b"HTTP/1.1 000 Nothing\r\nContent-Length: 5\r\n\r\nhello"),
    raw(b"HTTP/1.1 twenty\r\n\r\nhello"),
    raw(OK + b"Content-Length: -5\r\n\r\nhello"),
    raw(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    raw(OK + b"Content-Length: 5, 6\r\n\r\nhello"),
    raw(OK + b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello"),
    raw(OK + b"X: " + b"a" * 70_000 + b"\r\nContent-Length: 5\r\n\r\nhello"),
    raw(OK + b"X: a\r\n" * 11_000 + b"Content-Length: 5\r\n\r\nhello"),
    endless(OK + b"X: ", b"a"),
    endless(OK, b"X-Abc: defgh\r\n"),
    endless(b"HTTP/1.1 200 ", b"a"),
]


@pytest.mark.parametrize("answer", HANG_UPS)
async def test_no_answer_is_a_failed_connection(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert (error.code, error.http_status) == (ImageErrorCode.CONNECTION_FAILED, None)
    assert (
        error.message
        == "The source closed the connection without an answer. Check that it is up, then retry the image."
    )


@pytest.mark.parametrize("answer", NOT_HTTP)
async def test_an_invalid_answer_says_so_and_is_final(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert (error.code, error.http_status, error.code.transient) == (ImageErrorCode.HTTP_ERROR, None, False)
    assert error.message.startswith("The answer of the source is not valid HTTP. Check the server of the image")


@pytest.mark.parametrize(
    "answer",
    [
        raw(length(5)),
        raw(length(5), b"he"),
        raw(length(5), b"he", reset=True),
        raw(CHUNKED, b"5\r\nhello\r\n"),
        raw(CHUNKED, b"5\r\nhe"),
        raw(CHUNKED, b"5\r\nhello\r\n", reset=True),
    ],
)
async def test_a_body_that_breaks_off_is_truncated(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert (error.code, error.http_status) == (ImageErrorCode.DOWNLOAD_TRUNCATED, 200)
    assert error.message == "The source closed the connection before the image was complete. Retry the image later."


@pytest.mark.parametrize(
    "answer",
    [
        raw(OK + b"\r\n", b"hel", b"lo"),
        raw(b"HTTP/1.0 200 OK\r\n\r\nhello"),
        raw(CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + length(5), b"hello"),
        raw(b"HTTP/1.1 200\nContent-Length: 5\n\nhello"),
        raw(OK + b"X: " + b"a" * 30_000 + b"\r\nX: a" * 200 + b"\r\nContent-Length: 5\r\n\r\nhello"),
    ],
)
async def test_an_unusual_answer_is_understood(origin: Origin, answer: Answer) -> None:
    assert await fetch(origin.route("/a.jpg", answer)) == b"hello"


LENGTH_5 = b"Content-Length: 5\r\n"
PLAIN = OK + LENGTH_5


@pytest.mark.parametrize(
    "answer",
    [
        raw(PLAIN + LENGTH_5 + b"\r\nhello"),
        raw(PLAIN + b"content-length : 5\r\n\r\nhello"),
        raw(OK + b"Content-Length: 5, 5\r\n\r\nhello"),
        raw(OK + b"Content-Length: 5,\r\n\r\nhello"),
        raw(OK + b"Content-Length:\r\n\r\nhello"),
        raw(PLAIN + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        raw(OK + b"Transfer-Encoding: Chunked\r\nContent-Length: 99, 98\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        raw(PLAIN + b"Transfer-Encoding: identity\r\n\r\nhello"),
        raw(OK + b"Content-Length : 5\r\n\r\nhello"),
        raw(OK + b"Content-Length\t: 5\r\n\r\nhello"),
        raw(PLAIN + b"no colon here\r\n\r\nhello"),
        raw(OK + b"HTTP/1.1 200 OK\r\n" + LENGTH_5 + b"\r\nhello"),
        raw(PLAIN + b": no name\r\n\r\nhello"),
        raw(OK + b" : no name\r\n" + LENGTH_5 + b"\r\nhello"),
        raw(PLAIN + b"\xff\xfe(x): no name\r\n\r\nhello"),
        raw(PLAIN + b"X: a\r\n b: c\r\n\td\r\n\r\nhello"),
        raw(b"\r\n" + PLAIN + b"\r\nhello"),
        raw(OK + b"X: " + b"a" * 40_000 + b"\r\n" + LENGTH_5 + b"\r\nhello"),
        raw(OK + b"X: a\r\n" * 5_000 + LENGTH_5 + b"\r\nhello"),
        raw(b"HTTP/1.1 100 Continue\r\nno colon\r\n\r\n" + OK + b"Content-", b"Length : 5\r", b"\n\r\nhello"),
    ],
)
async def test_an_answer_that_browsers_take(origin: Origin, answer: Answer) -> None:
    assert await fetch(origin.route("/a.jpg", answer)) == b"hello"


async def test_an_odd_answer_closes_its_connection(origin: Origin) -> None:
    def odd(exchange: Exchange) -> None:
        exchange.wfile.write(PLAIN + LENGTH_5 + b"\r\nhello")

    def usual(exchange: Exchange) -> None:
        exchange.wfile.write(PLAIN + b"X:y \r\n\r\nhello")

    urls = [origin.route("/usual.jpg", usual), origin.route("/odd.jpg", odd)]
    async with guarded_session(SETTINGS, max_connections=4) as session:
        for url in (urls[0], urls[0], urls[1], urls[0]):
            assert (await download(session, url, settings=SETTINGS)).data == b"hello"
    first, second, third, fourth = (request.client_port for request in origin.requests)
    assert first == second == third != fourth


async def test_a_flood_of_tiny_chunks_ends_at_the_limit(origin: Origin) -> None:
    error = await failure(origin.route("/a.jpg", endless(CHUNKED, b"1\r\nx\r\n")), max_image_bytes=100_000)
    assert error.code is ImageErrorCode.TOO_LARGE


@pytest.mark.parametrize("answer", [endless(b"HTTP/1.1 404 Gone\r\n\r\n", b"a"), endless(length(2_000_000), b"a")])
async def test_no_more_is_read_than_needed(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert error.code in {ImageErrorCode.NOT_FOUND, ImageErrorCode.TOO_LARGE}


async def test_a_host_that_swallows_packets() -> None:
    with packet_swallower() as port:
        error = await failure(f"http://127.0.0.1:{port}/a.jpg", connect_timeout_seconds=0.3)
    assert error.code is ImageErrorCode.TIMEOUT
    assert error.message.startswith("The source did not accept a connection within 0.3 seconds. Check that it is up")


async def test_a_tls_handshake_that_hangs_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failure(f"https://127.0.0.1:{silent.getsockname()[1]}/a.jpg", connect_timeout_seconds=0.3)
    assert error.code is ImageErrorCode.TIMEOUT
    assert error.message.startswith("The source did not accept a connection within 0.3 seconds. Check that it is up")


async def test_slow_headers_end_at_the_deadline(origin: Origin) -> None:
    error = await failure(origin.route("/a.jpg", answers.slow_headers(20, reply(BODY))), download_timeout_seconds=0.3)
    assert error.code is ImageErrorCode.TIMEOUT


async def test_a_slow_drip_ends_at_the_total_deadline(origin: Origin) -> None:
    url = origin.route("/a.jpg", answers.drip(BODY, chunk_bytes=10, pause_seconds=0.05))
    started = time.monotonic()
    error = await failure(url, download_timeout_seconds=0.5)
    assert error.code is ImageErrorCode.TIMEOUT
    assert 0.4 < time.monotonic() - started < 2


async def test_redirects_share_one_deadline(origin: Origin) -> None:
    url = origin.route("/a.jpg", answers.slow_headers(0.2, redirect("/a.jpg")))
    error = await failure(url, download_timeout_seconds=0.5, max_redirects=100)
    assert error.code is ImageErrorCode.TIMEOUT


async def test_a_session_is_usable_after_a_timeout(origin: Origin) -> None:
    settings = SETTINGS.model_copy(update={"download_timeout_seconds": 0.3})
    slow = origin.route("/slow.jpg", answers.drip(BODY, chunk_bytes=10, pause_seconds=0.05))
    good = origin.route("/good.jpg", reply(BODY))
    async with guarded_session(settings, max_connections=1) as session:
        for _ in range(3):
            with pytest.raises(ImageError):
                await download(session, slow, settings=settings)
        assert (await download(session, good, settings=settings)).data == BODY
