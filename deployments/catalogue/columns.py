"""The columns of a catalogue, found by the names that people give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import RefusedError
from cluster.records import RowProblem
from deployments.catalogue.row_errors import listed, row_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ERRORS_COLUMN = "Errors"
"""The column that the results add for errors."""
_OUTPUT_URLS = "Output Image Urls"

SERIAL_NUMBER = "Serial Number"
PRODUCT_NAME = "Product Name"
IMAGE_URLS = "Input Image Urls"

# The first name of each column is its own. The others are understood too. If a file has several, the first one counts.
_NAMES: dict[str, tuple[str, ...]] = {
    SERIAL_NUMBER: (SERIAL_NUMBER, "S. No.", "Serial No", "SNo", "No"),
    PRODUCT_NAME: (PRODUCT_NAME, "Product", "Name", "Title"),
    IMAGE_URLS: (IMAGE_URLS, "Image Urls", "Images", "Image URL", "Image Src"),
}


def output_urls_column(name: str) -> str:
    """Return the name of the column that the results add for one output. The only output of an image has no name."""
    return f"{_OUTPUT_URLS} ({name})" if name else _OUTPUT_URLS


class Layout(NamedTuple):
    """The positions of the columns in the rows of a catalogue. Positions count from 0, in `names`."""

    names: list[str]  # as the user wrote them, without the columns of an earlier result
    kept: list[int] | None  # the positions of `names` in the file's rows; None if they are the same
    width: int  # cells of a row of the file
    serial_number: int
    product_name: int
    image_urls: int


def find_columns(header: Sequence[str], row: int, columns: Mapping[str, str]) -> Layout | list[RowProblem]:
    """Return the layout that a header describes, or all errors of the header.

    Args:
        header: The header's cells.
        row: The number of the line on which it starts.
        columns: The names that the user gives the columns, by our names for them.

    Raises:
        RefusedError: 400, `columns` names a column that does not exist.
    """
    mapped = _mapped_columns(header, columns)
    found = [mapped[field] if field in mapped else _find(field, header, row) for field in _NAMES]
    problems = [each for each in found if isinstance(each, RowProblem)]
    if problems:
        return problems
    positions = [each for each in found if isinstance(each, int)]
    earlier = _earlier_results(header).difference(positions)
    kept = [position for position in range(len(header)) if position not in earlier]
    return Layout(
        [header[position] for position in kept],
        kept if earlier else None,
        len(header),
        *map(kept.index, positions),
    )


def _normalised(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _positions(header: Sequence[str], name: str) -> list[int]:
    wanted = _normalised(name)
    return [position for position, cell in enumerate(header) if wanted and _normalised(cell) == wanted]


def _find(field: str, header: Sequence[str], row: int) -> int | RowProblem:
    for name in _NAMES[field]:
        positions = _positions(header, name)
        if positions:
            return positions[0] if len(positions) == 1 else _duplicate(field, header, positions, row)
    message = (
        f"No column is “{field}”: the file has {listed(header)}. "
        f"Rename the right one to that or to {listed(_NAMES[field][1:])}, or name it in the form field `columns`."
    )
    return row_problem(row, field, None, "missing_column", message)


def _duplicate(field: str, header: Sequence[str], positions: Sequence[int], row: int) -> RowProblem:
    names = [header[position] for position in positions]
    message = f"{len(names)} columns could be “{field}”: {listed(names)}. Rename or remove all but one of them."
    return row_problem(row, field, names[1], "duplicate_column", message)


def _earlier_results(header: Sequence[str]) -> set[int]:
    """Return the positions of the columns that our results added. `Errors` alone may be the user's own column."""
    outputs = [position for position, cell in enumerate(header) if _is_output_urls(cell)]
    return {*outputs, *_positions(header, ERRORS_COLUMN)} if outputs else set()


def _is_output_urls(cell: str) -> bool:
    """Return whether this is our column of outputs, with or without the name of an output in brackets."""
    name, bracket, rest = cell.partition("(")
    return _normalised(name) == _normalised(_OUTPUT_URLS) and (not bracket or rest.rstrip().endswith(")"))


def _mapped_columns(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    fields = {_normalised(field): field for field in _NAMES}
    mapped: dict[str, int] = {}
    for key, name in columns.items():
        field = fields.get(_normalised(key))
        if field is None:
            raise _invalid_columns(f"“{key}” is not a column of Darkroom. Its columns are {listed(_NAMES)}.")
        if field in mapped:
            raise _invalid_columns(f"It names “{field}” twice. Remove one of the two.")
        mapped[field] = _mapped_position(header, name)
    return mapped


def _mapped_position(header: Sequence[str], name: str) -> int:
    exact = [position for position, cell in enumerate(header) if cell.strip() == name.strip() != ""]
    positions = exact or _positions(header, name)
    if len(positions) == 1:
        return positions[0]
    count = "no column" if not positions else f"{len(positions)} columns"
    raise _invalid_columns(f"The file has {count} “{name}”. It has {listed(header)}.")


def _invalid_columns(detail: str) -> RefusedError:
    return RefusedError(400, "invalid_columns", f"The form field `columns` is not valid. {detail}")
