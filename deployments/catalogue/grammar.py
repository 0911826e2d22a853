"""The rows of a CSV by RFC 4180, each with the line on which it starts. A row with a wrong quote harms no other."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from deployments.catalogue.lines import MAX_ROW_BYTES, Lines
from deployments.catalogue.row_errors import row_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from cluster.records import RowProblem
    from deployments.catalogue.dialect import Dialect

_UNCLOSED_QUOTE = (
    "A cell starts with a double quote that is not closed. "
    "Close it at the end of the cell, and write a double quote inside a cell twice."
)
_STRAY_QUOTE = (
    "A double quote is in the middle of a quoted cell. "
    "Write a double quote inside a cell twice, and close a cell right before the delimiter."
)


def read_cells(file: IO[bytes], dialect: Dialect) -> Iterator[tuple[int, list[str] | RowProblem]]:
    """Yield the header and every row that is not blank.

    Yields:
        The number of the line on which the row starts, from 1. With it come the cells, or the error of the row.

    Raises:
        RefusedError: 415, a line is not text.
    """
    lines = Lines(file, dialect)
    reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    while True:
        row = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield row, _problem(row, lines, str(error))
            # The unclosed quote took in further lines. They are rows of their own.
            lines.go_back()
        else:
            if any(map(str.strip, cells)):
                yield row, cells


def _problem(row: int, lines: Lines, error: str) -> RowProblem:
    code, message = _code_and_message(lines, error)
    return row_problem(row, None, lines.first_line.strip(), code, message)


def _code_and_message(lines: Lines, error: str) -> tuple[str, str]:
    if lines.is_multiline:
        return "unclosed_quote", _UNCLOSED_QUOTE
    if lines.is_too_large:
        return "row_too_large", f"The row has more than {MAX_ROW_BYTES:,} bytes. Shorten its cells."
    # The csv module has one class for all its errors. Its limit on the length of a cell holds for the whole process.
    if "field limit" in error:
        return "cell_too_large", f"A cell has more than {csv.field_size_limit():,} characters. Shorten it."
    if "expected after" in error:
        return "stray_quote", _STRAY_QUOTE
    return "unclosed_quote", _UNCLOSED_QUOTE
