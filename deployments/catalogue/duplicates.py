"""Which image URLs of a catalogue came before in the same file."""

from __future__ import annotations

import hashlib
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from cluster.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGEST_BYTES = 16  # two URLs with one digest are not to be found
_INDEX_BITS = 32


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
        self._first: dict[bytes, int] = {}  # digest of the URL to its place, as one number

    def first_of(self, url: str, row: int, index: int) -> Place | None:
        """Where the URL was first; None when that is this place."""
        if hash(url) not in self._repeated:
            return None
        here = row << _INDEX_BITS | index
        digest = hashlib.blake2b(url.encode(), digest_size=_DIGEST_BYTES).digest()
        first = self._first.setdefault(digest, here)
        return None if first == here else Place(row=first >> _INDEX_BITS, index=first & ~(-1 << _INDEX_BITS))
