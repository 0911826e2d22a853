"""The lines of a file, decoded one by one. The reader may go back to the second line of a row."""

from __future__ import annotations

import csv
from collections import deque
from typing import IO, TYPE_CHECKING, Self

from deployments.catalogue.dialect import not_a_csv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deployments.catalogue.dialect import Dialect

_CHUNK_BYTES = 256 * 1024
MAX_ROW_BYTES = 1024 * 1024
# Each going back costs time. A hostile file could ask for it at every line.
_MAX_REREAD_BYTES = 32 * 1024 * 1024


class Lines:
    """An iterator over the lines of a file, with their line ends, for `csv.reader`.

    Raises (during iteration):
        csv.Error: The lines of the present row exceed `MAX_ROW_BYTES`. Iteration may go on.
        RefusedError: 415, a line is not text.
    """

    def __init__(self, file: IO[bytes], dialect: Dialect) -> None:
        self._encoding = dialect.encoding
        self._fresh = _split(file, dialect.start)
        self._again: deque[bytes] = deque()
        self._rereadable_bytes = _MAX_REREAD_BYTES
        self._row: list[bytes] = []  # the lines of the present row
        self._row_bytes = 0
        self._number = 0  # the number of the last line given, from 1

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._fresh)
        self._number += 1
        self._row.append(line)
        self._row_bytes += len(line)
        if self._row_bytes > MAX_ROW_BYTES:
            raise csv.Error("row too large")
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise not_a_csv(
                f"Line {self._number} is not text in UTF-8. Save the file as “CSV UTF-8” and upload that."
            ) from error

    def begin_row(self) -> int:
        """Begin a new row at the next line, and return the number of that line."""
        self._row.clear()
        self._row_bytes = 0
        return self._number + 1

    @property
    def first_line(self) -> str:
        """The first line of the present row."""
        return self._row[0].decode(self._encoding, errors="replace")

    @property
    def is_multiline(self) -> bool:
        """Whether the present row has more than one line."""
        return len(self._row) > 1

    @property
    def is_too_large(self) -> bool:
        """Whether the present row exceeds `MAX_ROW_BYTES`."""
        return self._row_bytes > MAX_ROW_BYTES

    def go_back(self) -> None:
        """Make the iterator give the lines of the present row again, from the second one on."""
        again = self._row[1:]
        size = sum(map(len, again))
        if size <= self._rereadable_bytes:
            self._rereadable_bytes -= size
            self._again.extendleft(reversed(again))
            self._number -= len(again)


def _split(file: IO[bytes], start: int) -> Iterator[bytes]:
    """Yield the lines of a file, which end in LF, CRLF or CR. A line longer than a row may be is cut."""
    file.seek(start)
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        if b"\0" in chunk:
            raise not_a_csv("The file has NUL bytes, so it is not text. Save it as “CSV UTF-8” and upload that.")
        lines = (rest + chunk).splitlines(keepends=True)
        rest = lines.pop()  # its end may be in the next chunk, at least the LF of its CRLF
        if len(rest) > MAX_ROW_BYTES and not rest.endswith((b"\r", b"\n")):
            rest = rest[: MAX_ROW_BYTES + 1]
        yield from lines
    if rest:
        yield rest
