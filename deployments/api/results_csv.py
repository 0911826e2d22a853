"""The result CSV: the catalogue with the links of the outputs and the errors."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from cluster.records import Status
from deployments.catalogue import ERRORS_COLUMN, output_urls_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cluster.records import ProcessingRequest, Product

_URL_SEPARATOR = ", "
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")


class ResultsCsv:
    """Writes the rows of a request, with the delimiter and the byte order mark of its catalogue.

    Args:
        request: The request.
        link: Returns the address under which an object can be read.
        only_failed: Whether rows have only image URLs that failed. Such a file can be uploaded again.
    """

    def __init__(self, request: ProcessingRequest, *, link: Callable[[str], str], only_failed: bool) -> None:
        self._request = request
        self._link = link
        self._only_failed = only_failed
        self._output_names = request.options.output_names or [""]

    def header(self) -> bytes:
        """Return the header line."""
        mark = "\ufeff" if self._request.byte_order_mark else ""
        outputs = map(output_urls_column, self._output_names)
        return (mark + self._lines([[*self._request.columns, *outputs, ERRORS_COLUMN]])).encode()

    def rows(self, products: Iterable[Product]) -> bytes:
        """Return the lines of products."""
        return self._lines(map(self._row, products)).encode()

    def _row(self, product: Product) -> list[str]:
        shown = [
            index
            for index, image in enumerate(product.images)
            if not self._only_failed or image.status is Status.FAILED
        ]
        cells = list(product.cells)
        if self._only_failed:
            cells[self._request.url_column] = _URL_SEPARATOR.join(product.input_image_urls[index] for index in shown)
        outputs = [self._links(product, shown, position) for position in range(len(self._output_names))]
        return [*cells, *outputs, _errors(product)]

    def _links(self, product: Product, shown: Iterable[int], position: int) -> str:
        """Return the links of the outputs at one position, aligned with the images that are shown."""
        keys = [_output_key(product, index, position) for index in shown]
        return _URL_SEPARATOR.join("" if key is None else self._link(key) for key in keys) if any(keys) else ""

    def _lines(self, rows: Iterable[Iterable[str]]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._request.delimiter)
        writer.writerows([neutralised(cell) for cell in row] for row in rows)
        return text.getvalue()


def neutralised(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula. An apostrophe is put before it. Plain numbers stay.

    Source: OWASP, "CSV Injection".
    """
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell) else cell


def _output_key(product: Product, index: int, position: int) -> str | None:
    outputs = product.images[index].outputs
    return outputs[position].key if outputs else product.output_image_urls[index]


def _errors(product: Product) -> str:
    several = len(product.images) > 1
    return " | ".join(
        f"{f'image {number}: ' if several else ''}{image.error.code}: {image.error.message}"
        for number, image in enumerate(product.images, start=1)
        if image.error is not None and image.status is Status.FAILED
    )
