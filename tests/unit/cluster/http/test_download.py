"""A download: its statuses, its redirects and its errors."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import download
from cluster.http.names import NameResolver
from cluster.http.session import guarded_session
from cluster.http.url import MAX_URL_CHARACTERS
from tests.support import origin as answers
from tests.support.dns_server import dns_server
from tests.support.origin import Origin, redirect, reply
from tests.unit.cluster.http.downloads import BODY, LIMIT_BYTES, SETTINGS, failure, fetch
from tests.unit.cluster.http.raw import raw

if TYPE_CHECKING:
    from tests.support.origin import Answer


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
        (reply(BODY, status=206), ImageErrorCode.DOWNLOAD_TRUNCATED, 206),
        (
            reply(BODY, status=206, headers={"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY) + 1}"}),
            ImageErrorCode.DOWNLOAD_TRUNCATED,
            206,
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


async def test_a_part_that_covers_everything_is_the_whole(origin: Origin) -> None:
    headers = {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}
    assert await fetch(origin.route("/a.jpg", reply(BODY, status=206, headers=headers))) == BODY


async def test_an_image_of_exactly_the_limit_passes(origin: Origin) -> None:
    assert len(await fetch(origin.route("/a.jpg", reply(bytes(LIMIT_BYTES))))) == LIMIT_BYTES


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
    assert error.message == (
        "Darkroom may not connect to localhost on port 80. Use a URL with a public host and one of the usual ports."
    )


async def test_a_redirect_to_a_refused_port_is_refused(origin: Origin) -> None:
    error = await failure(origin.route("/a.jpg", redirect("http://93.184.216.34:25/")))
    assert error.code is ImageErrorCode.BLOCKED_ADDRESS


async def test_a_name_that_does_not_exist() -> None:
    async with dns_server({}) as server:
        names = NameResolver(timeout_seconds=5, nameservers=[server.address])
        async with guarded_session(SETTINGS, max_connections=1, resolve=names) as session:
            with pytest.raises(ImageError) as caught:
                await download(session, "http://no-such-host.invalid/a.jpg", settings=SETTINGS)
    error = caught.value
    assert (error.code, error.code.transient) == (ImageErrorCode.DNS_FAILED, False)
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


async def test_a_source_is_asked_for_images(origin: Origin) -> None:
    await fetch(origin.route("/a.jpg", reply(BODY)))
    assert origin.requests[0].headers["accept"] == "image/avif,image/webp,image/*,*/*;q=0.8"


async def test_the_longest_url_is_fetched_and_redirected(origin: Origin) -> None:
    path = "/b.jpg?token=" + "a" * (MAX_URL_CHARACTERS - 100)
    origin.route("/b.jpg", reply(BODY))
    assert await fetch(origin.route("/a.jpg", redirect(path)) + path.removeprefix("/b.jpg")) == BODY
    assert origin.requests[1].path == path
