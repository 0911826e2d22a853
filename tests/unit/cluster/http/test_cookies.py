"""Cookies live for the redirects of one fetch, and only at their host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.http.download import download
from tests.support.origin import Origin, reply, sequence
from tests.unit.cluster.http.downloads import BODY, SETTINGS, failure, fetch
from tests.unit.cluster.http.raw import raw
from tests.unit.cluster.http.sessions import session_for

if TYPE_CHECKING:
    from tests.support.origin import Answer, Exchange


def redirect_with(location: str, *cookies: str) -> Answer:
    lines = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in cookies)
    return raw(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n{lines}Content-Length: 0\r\n\r\n".encode())


def wall(exchange: Exchange) -> None:
    """Send the image to a client with the cookie. Any other one gets it and a redirect to the same URL."""
    if "seen=1" in exchange.headers.get("Cookie", ""):
        reply(BODY)(exchange)
    else:
        redirect_with(exchange.path, "seen=1; Path=/; HttpOnly")(exchange)


async def test_a_host_that_sets_a_cookie_and_redirects_to_the_same_url(origin: Origin) -> None:
    url = origin.route("/a.jpg", wall) + "?size=a/b"
    assert await fetch(url) == BODY
    assert await fetch(url) == BODY
    assert [request.headers.get("cookie") for request in origin.requests] == [None, "seen=1"] * 2


@pytest.mark.parametrize(
    ("cookies", "sent"),
    [
        (["a=1", "b=2", "a=3"], "a=3; b=2"),
        (['t={"x":1}'], 't={"x":1}'),
        (["a=1; Path=/b"], "a=1"),
        (["a=1; Path=/other"], None),
        (["a=1; Secure"], None),
        (["a=1; Max-Age=0"], None),
        (["a=1; Expires=Fri, 01 Jan 1971 00:00:00 GMT"], None),
        (["a=1; Domain=shop.example"], None),
        (["a=1; Domain=com"], None),
        (["=1", "", ";", "a"], None),
        (["a=\x01"], None),
    ],
)
async def test_a_cookie_goes_back_as_a_browser_sends_it(origin: Origin, cookies: list[str], sent: str | None) -> None:
    origin.route("/b/b.jpg", reply(BODY))
    assert await fetch(origin.route("/a.jpg", redirect_with("/b/b.jpg", *cookies))) == BODY
    assert origin.requests[1].headers.get("cookie") == sent


async def test_another_host_gets_no_cookie(origin: Origin) -> None:
    cookies = ("a=1", "b=2; Domain=shop.example")
    origin.route("/a.jpg", redirect_with(f"http://cdn.shop.example:{origin.port}/b.jpg", *cookies))
    origin.route("/b.jpg", redirect_with(f"http://shop.example:{origin.port}/c.jpg", "c=3"))
    origin.route("/c.jpg", reply(BODY))
    async with session_for("127.0.0.1") as session:
        await download(session, f"http://shop.example:{origin.port}/a.jpg", settings=SETTINGS)
    assert [request.headers.get("cookie") for request in origin.requests] == [None, None, "a=1; b=2"]


async def test_a_host_that_only_sets_cookies_ends_at_the_limit_of_redirects(origin: Origin) -> None:
    names = iter("abcdefgh")
    answers = [redirect_with("/a.jpg", f"{next(names)}={'x' * 4_000}") for _ in range(8)]
    error = await failure(origin.route("/a.jpg", sequence(*answers)))
    assert error.code is ImageErrorCode.TOO_MANY_REDIRECTS
