"""One error of a catalogue, as the API lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.records import RowProblem

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_VALUE_CHARACTERS = 200
_MAX_NAMES = 20
_MAX_NAME_CHARACTERS = 50


def row_problem(row: int, column: str | None, value: str | None, code: str, message: str) -> RowProblem:
    """Return the error of a row. Only the beginning of a long value is kept."""
    return RowProblem(
        row=row,
        column=column,
        value=None if value is None else shorten(value, _MAX_VALUE_CHARACTERS),
        code=code,
        message=message,
    )


def shorten(text: str, characters: int) -> str:
    """Return the text. A text that is too long is cut and ends with an ellipsis."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Return column names for a sentence, such as “A”, “B” and 3 more."""
    shown = [f"“{shorten(name.strip(), _MAX_NAME_CHARACTERS)}”" for name in names if name.strip()]
    more = len(shown) - _MAX_NAMES
    if more > 0:
        return f"{', '.join(shown[:_MAX_NAMES])} and {more} more"
    return ", ".join(shown) or "no named column"
