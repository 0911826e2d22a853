"""Detection of duplicates: image URLs that came earlier in the same catalogue."""

from __future__ import annotations

import hashlib
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from cluster.records import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGEST_BYTES = 16  # so many that nobody can find two URLs with the same digest
_INDEX_BITS = 32


class UrlHashes:
    """The hashes of all URLs, eight bytes each. Another process hashes differently, so both passes run in one."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, urls: Iterable[str]) -> None:
        """Add the URLs of a row."""
        self._hashes.extend(map(hash, urls))

    def duplicated(self) -> set[int]:
        """Return the hashes that came more than once."""
        ordered = sorted(self._hashes)
        return {one for one, following in pairwise(ordered) if one == following}


class Duplicates:
    """The first place of each URL that has duplicates. Memory grows with the number of these URLs alone.

    Args:
        duplicated: The hashes from `UrlHashes.duplicated`. A URL without duplicates may share one by chance.
    """

    def __init__(self, duplicated: set[int]) -> None:
        self._duplicated = duplicated
        self._first: dict[bytes, int] = {}  # from the digest of a URL to its place, as one number

    def first_of(self, url: str, row: int, index: int) -> Place | None:
        """Return the first place of the URL. None means that this is the first place."""
        if hash(url) not in self._duplicated:
            return None
        here = row << _INDEX_BITS | index
        digest = hashlib.blake2b(url.encode(), digest_size=_DIGEST_BYTES).digest()
        first = self._first.setdefault(digest, here)
        return None if first == here else Place(row=first >> _INDEX_BITS, index=first & ~(-1 << _INDEX_BITS))
