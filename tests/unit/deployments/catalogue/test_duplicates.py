"""URLs that come more than once in a catalogue."""

from __future__ import annotations

from cluster.records import Place
from deployments.catalogue.duplicates import Repeats, UrlHashes


def first_places(*rows: list[str]) -> list[list[Place | None]]:
    hashes = UrlHashes()
    for row in rows:
        hashes.add(row)
    repeats = Repeats(hashes.repeated())
    return [
        [repeats.first_of(url, number, index) for index, url in enumerate(row)]
        for number, row in enumerate(rows, start=2)
    ]


def test_what_comes_once_repeats_nothing() -> None:
    assert first_places(["a", "b"], ["c"]) == [[None, None], [None]]


def test_every_later_one_points_to_the_first() -> None:
    first = Place(row=2, index=1)
    assert first_places(["x", "a"], ["a", "b"], ["c", "a"]) == [[None, None], [first, None], [None, first]]


def test_a_row_may_repeat_itself() -> None:
    assert first_places(["a", "a"]) == [[None, Place(row=2, index=0)]]


def test_two_urls_with_one_hash_are_two() -> None:
    repeats = Repeats({hash("a"), hash("b")})
    assert repeats.first_of("a", 1, 0) is None
    assert repeats.first_of("b", 2, 0) is None


def test_nothing_is_looked_for_when_nothing_repeats() -> None:
    repeats = Repeats(set())
    assert [repeats.first_of("a", row, 0) for row in (2, 3)] == [None, None]
