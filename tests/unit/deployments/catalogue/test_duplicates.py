"""URLs that a catalogue holds more than once."""

from __future__ import annotations

from cluster.records import Place
from deployments.catalogue.duplicates import Duplicates, UrlHashes


def first_places(*rows: list[str]) -> list[list[Place | None]]:
    hashes = UrlHashes()
    for row in rows:
        hashes.add(row)
    duplicates = Duplicates(hashes.duplicated())
    return [
        [duplicates.first_of(url, number, index) for index, url in enumerate(row)]
        for number, row in enumerate(rows, start=2)
    ]


def test_a_url_that_comes_once_is_no_duplicate() -> None:
    assert first_places(["a", "b"], ["c"]) == [[None, None], [None]]


def test_every_duplicate_points_to_the_first_place() -> None:
    first = Place(row=2, index=1)
    assert first_places(["x", "a"], ["a", "b"], ["c", "a"]) == [[None, None], [first, None], [None, first]]


def test_a_row_may_hold_a_duplicate_of_its_own() -> None:
    assert first_places(["a", "a"]) == [[None, Place(row=2, index=0)]]


def test_two_urls_with_one_hash_are_two() -> None:
    duplicates = Duplicates({hash("a"), hash("b")})
    assert duplicates.first_of("a", 1, 0) is None
    assert duplicates.first_of("b", 2, 0) is None


def test_nothing_is_looked_for_without_duplicates() -> None:
    duplicates = Duplicates(set())
    assert [duplicates.first_of("a", row, 0) for row in (2, 3)] == [None, None]
