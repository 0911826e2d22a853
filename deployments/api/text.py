"""The check of each text of a request: MongoDB, UTF-8 and the CSV of the results must be able to hold it."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, and a surrogate: one half of a character, which JSON can have alone."""
UNUSABLE_TEXT = "has a NUL or one half of a character, which no text may have"


def unusable_text(value: object) -> str | None:
    """Return the place of an unusable text in a JSON value, such as `columns.Name`, or None when all are fine.

    The names of fields are texts, too. The place of the whole value is empty.
    """
    left: list[_Found] = [_Found(value, None, "")]
    while left:  # and no recursion, because a JSON value may be deeper than Python's stack
        found = left.pop()
        if isinstance(found.value, str) and _UNUSABLE.search(found.value):
            return printable(found.place)
        if isinstance(found.value, dict):
            left += [_Found(each, found, name) for name, each in found.value.items()]
            left += [_Found(name, found, name) for name in found.value]
        elif isinstance(found.value, list):
            left += [_Found(each, found, index) for index, each in enumerate(found.value)]
    return None


class _Found(NamedTuple):
    """A part of a JSON value. Its place is put together for the one that is refused alone: a place can be long."""

    value: object
    inside: _Found | None
    name: str | int

    @property
    def place(self) -> str:
        names: list[str] = []
        found: _Found = self
        while found.inside is not None:
            names.append(str(found.name))
            found = found.inside
        return ".".join(reversed(names))


def printable(text: str) -> str:
    r"""Return a text in which each unusable character is written as its code, such as `\ud800`."""
    return _UNUSABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
