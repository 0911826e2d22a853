"""Which image URLs of a catalogue came before in the same file."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.records import Place


class UrlHashes:
    """The hashes of all URLs, eight bytes each: what the first pass leaves for the second, in the same process."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, urls: Iterable[str]) -> None:
        """Take in the URLs of a row."""
        self._hashes.extend(map(hash, urls))

    def repeated(self) -> set[int]:
        """The hashes that are there more than once."""
        ordered = sorted(self._hashes)
        return {one for one, following in pairwise(ordered) if one == following}


class Repeats:
    """Finds the first place of each URL that repeats. Its memory grows with those URLs alone.

    Args:
        repeated: The hashes of these URLs, of `UrlHashes`; some others may have the same.
    """

    def __init__(self, repeated: set[int]) -> None:
        self._repeated = repeated
        self._first: dict[int, tuple[str, Place]] = {}

    def first_of(self, url: str, place: Place) -> Place | None:
        """Where the URL was first; None when that is this place."""
        if hash(url) not in self._repeated:
            return None
        known_url, first = self._first.setdefault(hash(url), (url, place))
        return first if known_url == url and first != place else None
