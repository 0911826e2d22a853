from __future__ import annotations

import random

import httpx
import pytest

from cluster.http.url import origin_of, parse_url, url_problem


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("https://cdn.example/a.jpg?v=1", "https://cdn.example/a.jpg?v=1"),
        (" HTTP://Shop.Example/A ", "http://shop.example/A"),
        ("https://shop.example/my shoe.jpg", "https://shop.example/my%20shoe.jpg"),
        ("https://shop.example/schön.jpg", "https://shop.example/sch%C3%B6n.jpg"),
        ("https://shop.example/100%25.jpg", "https://shop.example/100%25.jpg"),
        ("https://shop.example/a%20b.jpg", "https://shop.example/a%20b.jpg"),
        ("https://shop.example\\img\\a.jpg?x=\\", "https://shop.example/img/a.jpg?x=\\"),
        ("https://münchen.example/x", "https://xn--mnchen-3ya.example/x"),
        ("https://cdn.example/w_100,h_100/a.jpg", "https://cdn.example/w_100,h_100/a.jpg"),
        ("http://img_1.example:8080/x", "http://img_1.example:8080/x"),
        ("http://[2606:4700::1]/x", "http://[2606:4700::1]/x"),
        ("http://127.1/x", "http://127.0.0.1/x"),
        ("http://0x7f000001:8080/x?y=1", "http://127.0.0.1:8080/x?y=1"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.0.1.example/", "http://0x7f.0.1.example/"),
    ],
)
def test_a_url_is_read_as_a_browser_reads_it(text: str, requested: str) -> None:
    assert url_problem(text) is None
    assert str(parse_url(text)) == requested


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("htp://x", "must start with http:// or https://"),
        ("ftp://shop.example/a.jpg", "must start with"),
        ("//shop.example/a.jpg", "must start with"),
        ("shop.example/a.jpg", "must start with"),
        ("data:image/png;base64,AAAA", "must start with"),
        ("http://", "host or port"),
        ("http:///a.jpg", "host or port"),
        ("http://./a.jpg", "host or port"),
        ("http://a..b/a.jpg", "host or port"),
        ("http://a b/a.jpg", "host or port"),
        ("http://1.2.3.999/a.jpg", "host or port"),
        ("http://[::1", "host or port"),
        ("http://shop.example:99999/", "host or port"),
        ("http://shop.example:0/", "host or port"),
        ("http://shop.example:x/", "host or port"),
        ("http://\ud800.example/", "host or port"),
        ("http://shop.example/a\x00b", "control characters"),
        ("http://shop.example/a\nb", "control characters"),
        ("https://user:secret@shop.example/a.jpg", "user name or password"),
        ("https://user@shop.example/a.jpg", "user name or password"),
        ("https://shop.example/" + "a" * 2_048, "may have 2,048"),
    ],
)
def test_what_is_not_a_web_address_is_told_why(text: str, problem: str) -> None:
    assert problem in (url_problem(text) or "")


def test_what_has_no_problem_can_always_be_parsed() -> None:
    seeded = random.Random(7)  # noqa: S311 - repeatable test data
    accepted = 0
    for _ in range(20_000):
        text = "http://" + "".join(seeded.choices("ab1.-_:/?#@[]%\\ éx", k=seeded.randint(0, 12)))
        if url_problem(text) is None:
            accepted += 1
            url = parse_url(text)
            assert url.raw_host
            assert not url.userinfo
        else:
            assert _refused(text)
    assert accepted > 1_000


def _refused(text: str) -> bool:
    try:
        return bool(parse_url(text).userinfo)
    except httpx.InvalidURL:
        return True


@pytest.mark.parametrize("rest", ["", "/", "/a?b#c", "?b", "#c", "\\a"])
def test_the_origin_of_a_url_is_all_before_its_path(rest: str) -> None:
    assert origin_of(f"https://Shop.example:8443{rest}") == "https://Shop.example:8443"
