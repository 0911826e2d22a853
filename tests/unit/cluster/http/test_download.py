from __future__ import annotations

import gzip
import socket
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import download, retry_after_seconds
from cluster.http.session import guarded_session
from cluster.settings import Settings
from tests.support import origin as answers
from tests.support.origin import Origin, redirect, reply
from tests.unit.cluster.http.raw import CHUNKED, OK, endless, length, packet_swallower, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin import Answer

BODY = bytes(range(256)) * 1_000
LIMIT_BYTES = 1_000_000


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


SETTINGS = Settings(
    allowed_networks=(IPv4Network("127.0.0.1/32"),),
    connect_timeout_seconds=1,
    download_timeout_seconds=5,
    max_image_bytes=LIMIT_BYTES,
    max_redirects=3,
)


async def fetch(url: str, **changes: object) -> bytes:
    settings = SETTINGS.model_copy(update=changes)
    async with guarded_session(settings, max_connections=4) as session:
        return (await download(session, url, settings=settings)).data


async def failure(url: str, **changes: object) -> ImageError:
    with pytest.raises(ImageError) as caught:
        await fetch(url, **changes)
    return caught.value


async def test_the_whole_body_comes_with_its_status(origin: Origin) -> None:
    url = origin.route("/a.jpg", reply(BODY, status=203))
    async with guarded_session(SETTINGS, max_connections=4) as session:
        got = await download(session, url, settings=SETTINGS)
    assert got.data == BODY
    assert got.http_status == 203


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (304, ImageErrorCode.HTTP_ERROR),
        (400, ImageErrorCode.HTTP_ERROR),
        (401, ImageErrorCode.FORBIDDEN),
        (403, ImageErrorCode.FORBIDDEN),
        (404, ImageErrorCode.NOT_FOUND),
        (410, ImageErrorCode.NOT_FOUND),
        (418, ImageErrorCode.HTTP_ERROR),
        (429, ImageErrorCode.RATE_LIMITED),
        (500, ImageErrorCode.SOURCE_ERROR),
        (503, ImageErrorCode.SOURCE_ERROR),
        (302, ImageErrorCode.HTTP_ERROR),
    ],
)
async def test_a_status_has_its_code(origin: Origin, status: int, code: ImageErrorCode) -> None:
    error = await failure(origin.route("/a.jpg", reply(status=status)))
    assert (error.code, error.http_status) == (code, status)
    assert error.message.startswith(f"The source answered {status}: it ")


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_kept(origin: Origin, status: int) -> None:
    url = origin.route("/a.jpg", reply(status=status, headers={"Retry-After": "120"}))
    assert (await failure(url)).retry_after_seconds == 120


def test_retry_after_is_seconds_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after_seconds(soon) or 0) <= 90
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_seconds(" 7 ") == 7
    assert [retry_after_seconds(value) for value in ("", "soon", "-1", "9" * 5000, "1.5")] == [None] * 5


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (answers.truncated(BODY), ImageErrorCode.DOWNLOAD_TRUNCATED, 200),
        (answers.hang_up(), ImageErrorCode.CONNECTION_FAILED, None),
        (reply(), ImageErrorCode.EMPTY, 200),
        (reply(status=204), ImageErrorCode.EMPTY, 204),
        (reply(bytes(LIMIT_BYTES + 1)), ImageErrorCode.TOO_LARGE, 200),
        (answers.stream(200_000_000), ImageErrorCode.TOO_LARGE, 200),
        (answers.gzip_bomb(50_000_000), ImageErrorCode.TOO_LARGE, 200),
        (reply(BODY, headers={"Content-Encoding": "gzip"}), ImageErrorCode.HTTP_ERROR, 200),
        (reply(BODY, headers={"Content-Encoding": "gzip, gzip"}), ImageErrorCode.HTTP_ERROR, 200),
        (
            reply(gzip.compress(BODY)[:-9], headers={"Content-Encoding": "gzip"}),
            ImageErrorCode.DOWNLOAD_TRUNCATED,
            200,
        ),
        (redirect("/a.jpg"), ImageErrorCode.TOO_MANY_REDIRECTS, 302),
        (redirect("ftp://shop.example/a.jpg"), ImageErrorCode.HTTP_ERROR, 302),
        (redirect("file:///etc/passwd"), ImageErrorCode.HTTP_ERROR, 302),
        (redirect("http://[::1"), ImageErrorCode.HTTP_ERROR, 302),
        (redirect("http://shop.example:99999/"), ImageErrorCode.HTTP_ERROR, 302),
    ],
)
async def test_a_bad_source_has_its_code(
    origin: Origin,
    answer: Answer,
    code: ImageErrorCode,
    status: int | None,
) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert (error.code, error.http_status) == (code, status)
    assert error.message.endswith(".")
    assert "127.0.0.1" not in error.message


HANG_UPS = [
    raw(),
    raw(reset=True),
    raw(b"HTTP/1.1 2"),
    raw(OK + b"Content-Le"),
    raw(OK + b"Content-Le", reset=True),
    raw(b"hello world\r\n\r\n"),
    raw(b"SSH-2.0-OpenSSH_9.0\r\n"),
    raw(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello"),
    raw(b"HTTP/1.1 000 Nothing\r\nContent-Length: 5\r\n\r\nhello"),
    raw(OK + b"Content-Length: -5\r\n\r\nhello"),
    raw(OK + b"X: " + b"a" * 40_000 + b"\r\nContent-Length: 5\r\n\r\nhello"),
    raw(OK + b"X: a\r\n" * 300 + b"Content-Length: 5\r\n\r\nhello"),
    endless(OK + b"X: ", b"a"),
    endless(OK, b"X-Abc: defgh\r\n"),
    endless(b"HTTP/1.1 200 ", b"a"),
]


@pytest.mark.parametrize("answer", HANG_UPS)
async def test_an_invalid_answer_is_a_failed_connection(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert (error.code, error.http_status) == (ImageErrorCode.CONNECTION_FAILED, None)
    assert (
        error.message
        == "The source closed the connection without an answer. Check that it is up, then retry the image."
    )


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


async def test_a_flood_of_tiny_chunks_ends_at_the_limit(origin: Origin) -> None:
    error = await failure(origin.route("/a.jpg", endless(CHUNKED, b"1\r\nx\r\n")), max_image_bytes=100_000)
    assert error.code is ImageErrorCode.TOO_LARGE


@pytest.mark.parametrize("answer", [endless(b"HTTP/1.1 404 Gone\r\n\r\n", b"a"), endless(length(2_000_000), b"a")])
async def test_no_more_is_read_than_needed(origin: Origin, answer: Answer) -> None:
    error = await failure(origin.route("/a.jpg", answer))
    assert error.code in {ImageErrorCode.NOT_FOUND, ImageErrorCode.TOO_LARGE}


async def test_an_image_of_exactly_the_limit_passes(origin: Origin) -> None:
    assert len(await fetch(origin.route("/a.jpg", reply(bytes(LIMIT_BYTES))))) == LIMIT_BYTES


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


@pytest.mark.parametrize("location", [b"/sch\xc3\xb6n.jpg", b"/sch\xf6n.jpg"])
async def test_a_redirect_may_be_written_in_utf8_or_latin1(origin: Origin, location: bytes) -> None:
    origin.route("/sch%C3%B6n.jpg", reply(BODY))
    answer = raw(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location)
    assert await fetch(origin.route("/a.jpg", answer)) == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(origin: Origin, status: int) -> None:
    origin.route("/images/new%20shoe.jpg", reply(BODY))
    url = origin.route("/images/old.jpg", redirect("new shoe.jpg", status=status))
    assert await fetch(url) == BODY


async def test_a_redirect_to_a_closed_address_is_refused(origin: Origin) -> None:
    with Origin() as internal:
        secret = internal.route("/secret", reply(b"secret")).replace("127.0.0.1", "127.0.0.2")
        error = await failure(origin.route("/a.jpg", redirect(secret)))
        assert error.code is ImageErrorCode.BLOCKED_ADDRESS
        assert internal.requests == []


async def test_a_blocked_address_is_final_and_names_the_host_only() -> None:
    error = await failure("http://localhost/a.jpg", allowed_networks=())
    assert error.code is ImageErrorCode.BLOCKED_ADDRESS
    assert not error.code.transient
    assert error.message.startswith("localhost is not a public address (loopback")


async def test_a_name_that_does_not_exist() -> None:
    error = await failure("http://no-such-host.invalid/a.jpg")
    assert error.code is ImageErrorCode.DNS_FAILED
    assert error.message == "The host name no-such-host.invalid could not be resolved. Check its spelling in the URL."


async def test_a_closed_port() -> None:
    with Origin() as closed:
        url = closed.url
    error = await failure(url)
    assert error.code is ImageErrorCode.CONNECTION_FAILED
    assert error.message == "The source did not accept a connection. Check that it is up, then retry the image."


async def test_http_spoken_to_an_https_url(origin: Origin) -> None:
    assert (await failure(origin.url.replace("http:", "https:"))).code is ImageErrorCode.CONNECTION_FAILED


@pytest.mark.parametrize("url", ["ftp://shop.example/a.jpg", "shoe.jpg", "http://", "file:///etc/passwd", ""])
async def test_an_invalid_url_is_not_fetched(url: str) -> None:
    assert (await failure(url)).code is ImageErrorCode.HTTP_ERROR


async def test_no_credentials_are_sent_on(origin: Origin) -> None:
    origin.route("/b.jpg", reply(BODY))
    url = origin.route("/a.jpg", redirect(f"http://user:secret@127.0.0.1:{origin.port}/b.jpg"))
    assert await fetch(url) == BODY
    assert all("authorization" not in request.headers for request in origin.requests)


async def test_a_url_is_normalised_as_a_browser_does(origin: Origin) -> None:
    origin.route("/rote%20schuhe/sch%C3%B6n.jpg", reply(BODY))
    assert await fetch(f"{origin.url}/rote schuhe/schön.jpg?w=1") == BODY
    assert origin.requests[0].path == "/rote%20schuhe/sch%C3%B6n.jpg?w=1"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("aws-chunked", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY) + bytes(5_000)),
    ],
)
async def test_compression_that_nobody_asked_for_is_undone(origin: Origin, encoding: str, body: bytes) -> None:
    url = origin.route("/a.jpg", reply(body, headers={"Content-Encoding": encoding}))
    assert await fetch(url) == BODY


async def test_a_source_that_recovers(origin: Origin) -> None:
    url = origin.route("/a.jpg", answers.sequence(reply(status=503), reply(status=503), reply(BODY)))
    assert [(await failure(url)).code for _ in range(2)] == [ImageErrorCode.SOURCE_ERROR] * 2
    assert await fetch(url) == BODY
    assert [request.method for request in origin.requests_to("/a.jpg")] == ["GET"] * 3
