from __future__ import annotations

import time

import pytest

from deployments.catalogue.image_urls import split_image_urls

A = "https://cdn.example/w_100,h_100/a;b|c.jpg"
B = "http://shop.example/b.jpg?x=1,2;3"


@pytest.mark.parametrize(
    ("cell", "urls"),
    [
        ("", []),
        (" , ;| \n", []),
        (A, [A]),
        (f"  {A}\t", [A]),
        (f"{A},{B}", [A, B]),
        (f"{A}, {B}", [A, B]),
        (f"{A};{B}", [A, B]),
        (f"{A} ; {B}", [A, B]),
        (f"{A}|{B}", [A, B]),
        (f"{A} {B}", [A, B]),
        (f"{A}\n{B}", [A, B]),
        (f"{A},\r\n{B},\r\n", [A, B]),
        (f"{A},,{B}", [A, B]),
        (f",{A};", [A]),
        (f"{A},HTTPS://x.example/C", [A, "HTTPS://x.example/C"]),
        ("https://a/1.jpg, htp://x", ["https://a/1.jpg", "htp://x"]),
        ("https://a/1.jpg,htp://x", ["https://a/1.jpg", "htp://x"]),
        ("https://a/1.jpg, b.jpg", ["https://a/1.jpg", "b.jpg"]),
        ("https://a/1.jpg\nb.jpg", ["https://a/1.jpg", "b.jpg"]),
        ("https://a/my shoe.jpg", ["https://a/my shoe.jpg"]),
        ("https://a/1,b.jpg", ["https://a/1,b.jpg"]),
        ("https://a/get?url=http://b/1.jpg", ["https://a/get?url=http://b/1.jpg"]),
        ("data:image/png;base64,AAAA", ["data:image/png;base64,AAAA"]),
        ("n/a", ["n/a"]),
    ],
)
def test_a_cell_is_split_where_another_url_starts(cell: str, urls: list[str]) -> None:
    assert split_image_urls(cell) == urls


@pytest.mark.no_cover  # tracing takes time, too
@pytest.mark.parametrize("hostile", [",", " ", "a,", "a", "a ;", "x://,", "a+,"])
def test_a_hostile_cell_takes_no_more_time_than_its_length(hostile: str) -> None:
    cell = hostile * (131_072 // len(hostile))
    started = time.perf_counter()
    split_image_urls(cell)
    assert time.perf_counter() - started < 2
