"""The two passes over a catalogue. The first finds every error, the second gives the valid rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from cluster.errors import CatalogueError
from cluster.records import RowProblem
from deployments.catalogue.columns import find_columns
from deployments.catalogue.dialect import detect_dialect
from deployments.catalogue.duplicates import UrlHashes
from deployments.catalogue.grammar import read_cells
from deployments.catalogue.row_errors import row_problem
from deployments.catalogue.rows import CatalogueRow, check_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

    from deployments.catalogue.columns import Layout
    from deployments.catalogue.dialect import Dialect

MAX_LISTED_PROBLEMS = 1_000

_NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An open catalogue whose header was read. Both passes move the position of the file, so run one at a time."""

    file: IO[bytes]  # the caller closes it
    dialect: Dialect
    layout: Layout
    max_rows: int
    max_images_per_product: int

    @property
    def columns(self) -> list[str]:
        """The header as the user wrote it, without the columns of an earlier result."""
        return self.layout.names

    @property
    def url_column(self) -> int:
        """The position of the image URLs in `columns`, from 0."""
        return self.layout.image_urls


@dataclass(frozen=True, slots=True)
class Survey:
    """The contents of a catalogue in numbers, and the errors of its rows."""

    rows: int  # valid and invalid ones, without the header and blank ones; rows past the limit are not read
    products: int  # rows without an error
    images: int  # of these products
    problems: list[RowProblem]  # the first `MAX_LISTED_PROBLEMS`, in the order of the file
    problem_count: int
    complete: bool  # False if there are more rows than allowed
    url_hashes: UrlHashes = field(default_factory=UrlHashes, compare=False)

    @property
    def rejected_rows(self) -> int:
        """The number of rows with errors."""
        return self.rows - self.products

    def refusal(self, *, skip_invalid_rows: bool) -> CatalogueError | None:
        """Return the error to answer with. None means that the valid rows may be accepted."""
        can_skip = self.complete and self.products > 0
        if not self.problem_count or (can_skip and skip_invalid_rows):
            return None
        return CatalogueError(self.problems, self.problem_count, can_skip)


def open_catalogue(
    file: IO[bytes], *, max_rows: int, max_images_per_product: int, columns: Mapping[str, str] = _NO_COLUMNS
) -> Catalogue:
    """Read the header of a catalogue.

    Args:
        file: A seekable file. It is read from its beginning.
        max_rows: The limit on rows, valid and invalid ones together.
        max_images_per_product: The limit on image URLs in a row.
        columns: The names that the user gives the columns, by our names: `{"Input Image Urls": "Photo links"}`.

    Raises:
        CatalogueError: The file is empty, has no rows, or its header has errors.
        RefusedError: 415, the file is not a CSV, or 400, `columns` names a column that does not exist.
    """
    dialect = detect_dialect(file)
    layout = _read_header(read_cells(file, dialect), columns)
    if isinstance(layout, list):
        raise CatalogueError(layout, len(layout))
    return Catalogue(file, dialect, layout, max_rows, max_images_per_product)


def survey_catalogue(catalogue: Catalogue) -> Survey:
    """Read the whole file and check every row.

    Raises:
        RefusedError: 415, a line of the file is not text.
    """
    rows = images = products = problem_count = 0
    problems: list[RowProblem] = []
    url_hashes = UrlHashes()
    cells = _read_rows(catalogue)
    for outcome in _checked(islice(cells, catalogue.max_rows), catalogue):
        rows += 1
        if isinstance(outcome, CatalogueRow):
            products += 1
            images += len(outcome.image_urls)
            url_hashes.add(outcome.image_urls)
        else:
            problem_count += len(outcome)
            problems += outcome[: MAX_LISTED_PROBLEMS - len(problems)]
    excess = next(cells, None)
    if excess is not None:
        problem_count += 1
        # It is always listed, because skipping invalid rows does not help against it.
        problems[MAX_LISTED_PROBLEMS - 1 :] = [_too_many_rows(excess[0], catalogue.max_rows)]
    return Survey(rows, products, images, problems, problem_count, complete=excess is None, url_hashes=url_hashes)


def valid_rows(catalogue: Catalogue) -> Iterator[CatalogueRow]:
    """Yield the rows without an error, in the order of the file. They are as many as the `products` of the survey.

    Raises:
        RefusedError: 415, a line of the file is not text.
    """
    for outcome in _checked(islice(_read_rows(catalogue), catalogue.max_rows), catalogue):
        if isinstance(outcome, CatalogueRow):
            yield outcome


def _read_header(
    cells: Iterator[tuple[int, list[str] | RowProblem]], columns: Mapping[str, str]
) -> Layout | list[RowProblem]:
    row, header = next(cells, (1, None))
    if header is None:
        message = "The file is empty. Upload one with a header and a row for every product."
        return [row_problem(row, None, None, "empty_file", message)]
    layout = [header] if isinstance(header, RowProblem) else find_columns(header, row, columns)
    if next(cells, None) is not None:
        return layout
    message = "The file has a header and no rows. Add a row for every product."
    problems = layout if isinstance(layout, list) else []
    return [*problems, row_problem(row, None, None, "no_rows", message)]


def _read_rows(catalogue: Catalogue) -> Iterator[tuple[int, list[str] | RowProblem]]:
    cells = read_cells(catalogue.file, catalogue.dialect)
    next(cells)  # the header
    return cells


def _checked(
    rows: Iterator[tuple[int, list[str] | RowProblem]], catalogue: Catalogue
) -> Iterator[CatalogueRow | list[RowProblem]]:
    layout, max_images = catalogue.layout, catalogue.max_images_per_product
    for row, cells in rows:
        yield [cells] if isinstance(cells, RowProblem) else check_row(row, cells, layout, max_images)


def _too_many_rows(row: int, max_rows: int) -> RowProblem:
    message = f"The file has more than {max_rows:,} rows. Divide it and upload the parts."
    return row_problem(row, None, None, "too_many_rows", message)
