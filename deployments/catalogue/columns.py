"""Which column of a catalogue is which, by the names that people give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import RefusedError
from cluster.records import RowProblem
from deployments.catalogue.row_errors import listed, row_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ERRORS_COLUMN = "Errors"
"""The column that results add for what failed."""
_OUTPUT_URLS = "Output Image Urls"

SERIAL_NUMBER = "Serial Number"
PRODUCT_NAME = "Product Name"
IMAGE_URLS = "Input Image Urls"

# The name by which a column is known, then others that are understood; of several in one file, the first counts.
_NAMES: dict[str, tuple[str, ...]] = {
    SERIAL_NUMBER: (SERIAL_NUMBER, "S. No.", "Serial No", "SNo", "No"),
    PRODUCT_NAME: (PRODUCT_NAME, "Product", "Name", "Title"),
    IMAGE_URLS: (IMAGE_URLS, "Image Urls", "Images", "Image URL", "Image Src"),
}


def output_urls_column(name: str) -> str:
    """The column that results add for the outputs of one name, or for the only ones, which have none."""
    return f"{_OUTPUT_URLS} ({name})" if name else _OUTPUT_URLS


class Layout(NamedTuple):
    """Where the rows of a catalogue have what. Positions count from 0, in `names`."""

    names: list[str]  # as the user wrote them, without the columns of an earlier result
    kept: list[int] | None  # the positions of `names` in the file's rows; None if they are the same
    width: int  # cells of a row of the file
    serial_number: int
    product_name: int
    image_urls: int


def find_columns(header: Sequence[str], row: int, columns: Mapping[str, str]) -> Layout | list[RowProblem]:
    """The layout by a header, or everything that is wrong with it.

    Args:
        header: The header's cells.
        row: The number of its line.
        columns: What the user calls the columns, by our names for them.

    Raises:
        RefusedError: 400, `columns` has a name that does not exist, here or in the file.
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
        f"There is no column “{field}”; name one so (or {listed(_NAMES[field][1:])}), or say in the form field "
        f"`columns` which one it is, of those in the file: {listed(header)}."
    )
    return row_problem(row, field, None, "missing_column", message)


def _duplicate(field: str, header: Sequence[str], positions: Sequence[int], row: int) -> RowProblem:
    names = [header[position] for position in positions]
    message = f"{len(names)} columns could be “{field}”: {listed(names)}; rename or remove all but one."
    return row_problem(row, field, names[1], "duplicate_column", message)


def _earlier_results(header: Sequence[str]) -> set[int]:
    """The positions of what our results added; `Errors` alone may be a column of the user's own."""
    outputs = [position for position, cell in enumerate(header) if _is_output_urls(cell)]
    return {*outputs, *_positions(header, ERRORS_COLUMN)} if outputs else set()


def _is_output_urls(cell: str) -> bool:
    """Whether this is one of our columns, with or without an output's name in brackets."""
    name, bracket, rest = cell.partition("(")
    return _normalised(name) == _normalised(_OUTPUT_URLS) and (not bracket or rest.rstrip().endswith(")"))


def _mapped_columns(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    fields = {_normalised(field): field for field in _NAMES}
    mapped: dict[str, int] = {}
    for key, name in columns.items():
        field = fields.get(_normalised(key))
        if field is None:
            raise _invalid_columns(f"“{key}” is none of our names, which are {listed(_NAMES)}.")
        if field in mapped:
            raise _invalid_columns(f"“{field}” is in it twice.")
        mapped[field] = _mapped_position(header, name)
    return mapped


def _mapped_position(header: Sequence[str], name: str) -> int:
    exact = [position for position, cell in enumerate(header) if cell.strip() == name.strip() != ""]
    positions = exact or _positions(header, name)
    if len(positions) == 1:
        return positions[0]
    count = "no column" if not positions else f"{len(positions)} columns"
    raise _invalid_columns(f"The file has {count} “{name}”; its columns are {listed(header)}.")


def _invalid_columns(detail: str) -> RefusedError:
    return RefusedError(400, "invalid_columns", f"The form field `columns` is not valid. {detail}")
