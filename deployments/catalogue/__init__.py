"""The parser of a catalogue, which is an uploaded CSV of products and image URLs.

It reads a file in two passes. Between them it keeps eight bytes for each URL.

>>> catalogue = open_catalogue(file, max_rows=1_000_000, max_images_per_product=100)
>>> survey = survey_catalogue(catalogue)
>>> if (refusal := survey.refusal(skip_invalid_rows=False)) is not None:
...     raise refusal
>>> for row in valid_rows(catalogue):
...     print(row.row, row.serial_number, row.product_name, row.image_urls)

All calls block, so call them in a thread. No call uses a store or the network.
"""

from deployments.catalogue.columns import ERRORS_COLUMN, output_urls_column
from deployments.catalogue.duplicates import Duplicates
from deployments.catalogue.reading import (
    MAX_LISTED_PROBLEMS,
    Catalogue,
    Survey,
    open_catalogue,
    survey_catalogue,
    valid_rows,
)
from deployments.catalogue.rows import CatalogueRow

__all__ = [
    "ERRORS_COLUMN",
    "MAX_LISTED_PROBLEMS",
    "Catalogue",
    "CatalogueRow",
    "Duplicates",
    "Survey",
    "open_catalogue",
    "output_urls_column",
    "survey_catalogue",
    "valid_rows",
]
