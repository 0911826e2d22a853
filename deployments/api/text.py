"""The check of each text of a request: MongoDB, UTF-8 and the CSV of the results must be able to hold it."""

from __future__ import annotations

import re

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, and a surrogate: one half of a character, which JSON can have alone."""
UNUSABLE_TEXT = "has a NUL or one half of a character, which no text may have"


def unusable_text(value: object) -> str | None:
    """Return the place of an unusable text in a JSON value, such as `columns.Name`, or None when all are fine.

    The names of fields are texts, too. The place of the whole value is empty.
    """
    left: list[tuple[str, object]] = [("", value)]
    while left:  # and no recursion, because a JSON value may be deeper than Python's stack
        place, found = left.pop()
        if isinstance(found, str) and _UNUSABLE.search(found):
            return printable(place)
        if isinstance(found, dict):
            left += [(_inside(place, name), each) for name, each in found.items()]
            left += [(_inside(place, name), name) for name in found]
        elif isinstance(found, list):
            left += [(_inside(place, index), each) for index, each in enumerate(found)]
    return None


def printable(text: str) -> str:
    r"""Return a text in which each unusable character is written as its code, such as `\ud800`."""
    return _UNUSABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _inside(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)
