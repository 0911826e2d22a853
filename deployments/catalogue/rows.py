"""The check of a row of a catalogue: it gives the contents of the row, or all its errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from cluster.http.url import url_problem
from deployments.catalogue.image_urls import split_image_urls
from deployments.catalogue.row_errors import row_problem

if TYPE_CHECKING:
    from cluster.records import RowProblem
    from deployments.catalogue.columns import Layout

_SERIAL_NUMBER = re.compile(r"0*([0-9]{1,18})")  # MongoDB stores whole numbers in 64 bits
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all control characters but tab and line ends


class CatalogueRow(NamedTuple):
    """One row without an error."""

    row: int  # the number of the line on which it starts
    serial_number: int
    product_name: str
    image_urls: tuple[str, ...]
    cells: list[str]  # as they are in the file, aligned with the catalogue's columns


def check_row(row: int, cells: list[str], layout: Layout, max_images: int) -> CatalogueRow | list[RowProblem]:
    """Return the row, or all its errors."""
    if len(cells) != layout.width:
        if any(map(str.strip, cells[layout.width :])):
            return [_too_many_cells(row, cells, layout)]
        cells = cells[: layout.width] + [""] * (layout.width - len(cells))
    if layout.kept is not None:
        cells = [cells[position] for position in layout.kept]
    serial_number = _serial_number(cells[layout.serial_number])
    product_name = cells[layout.product_name].strip()
    urls = split_image_urls(cells[layout.image_urls])
    wrong_urls = [(url, wrong) for url in urls[:max_images] if (wrong := url_problem(url)) is not None]
    if (
        serial_number is None
        or not product_name
        or _CONTROL.search(product_name)
        or not 0 < len(urls) <= max_images
        or wrong_urls
    ):
        return [
            *_serial_number_problems(row, cells, layout),
            *_product_name_problems(row, cells, layout),
            *_image_problems(row, cells, layout, len(urls), max_images),
            *(_invalid_url(row, layout, url, wrong) for url, wrong in wrong_urls),
        ]
    return CatalogueRow(row, serial_number, product_name, tuple(urls), cells)


def _serial_number(cell: str) -> int | None:
    found = _SERIAL_NUMBER.fullmatch(cell.strip())
    return None if found is None else int(found[1])


def _serial_number_problems(row: int, cells: list[str], layout: Layout) -> list[RowProblem]:
    column, cell = layout.names[layout.serial_number], cells[layout.serial_number].strip()
    if not cell:
        return [_missing(row, column, cell, "a whole number")]
    if _serial_number(cell) is None:
        message = "The serial number is not valid. Write a whole number of at most 18 digits, and nothing else."
        return [row_problem(row, column, cell, "invalid_serial_number", message)]
    return []


def _product_name_problems(row: int, cells: list[str], layout: Layout) -> list[RowProblem]:
    column, cell = layout.names[layout.product_name], cells[layout.product_name].strip()
    if not cell:
        return [_missing(row, column, cell, "the product's name")]
    if _CONTROL.search(cell):
        message = "The name has invisible control characters in it. Delete the cell and type the name again."
        return [row_problem(row, column, cell, "invalid_value", message)]
    return []


def _image_problems(row: int, cells: list[str], layout: Layout, count: int, max_images: int) -> list[RowProblem]:
    column, cell = layout.names[layout.image_urls], cells[layout.image_urls].strip()
    if not count:
        return [_missing(row, column, cell, "one image URL or more")]
    if count > max_images:
        message = f"The row has {count:,} image URLs and may have {max_images:,}. Spread them over several rows."
        return [row_problem(row, column, cell, "too_many_images", message)]
    return []


def _invalid_url(row: int, layout: Layout, url: str, wrong: str) -> RowProblem:
    message = f"Correct the image URL: {wrong}."
    return row_problem(row, layout.names[layout.image_urls], url, "invalid_url", message)


def _missing(row: int, column: str, cell: str, what: str) -> RowProblem:
    return row_problem(row, column, cell, "missing_value", f"The cell is empty. Write {what} in it.")


def _too_many_cells(row: int, cells: list[str], layout: Layout) -> RowProblem:
    message = (
        f"The row has {len(cells):,} cells and the header {layout.width:,}. "
        "Put a cell that contains commas or semicolons in double quotes."
    )
    return row_problem(row, None, cells[layout.width], "too_many_cells", message)
