"""The catalogue: an uploaded CSV of products and image URLs, read in two passes that keep eight bytes of each URL.

>>> catalogue = open_catalogue(file, max_rows=1_000_000, max_images_per_product=100)
>>> survey = survey_catalogue(catalogue)
>>> if (refusal := survey.refusal(skip_invalid_rows=False)) is not None:
...     raise refusal
>>> for row in valid_rows(catalogue):
...     print(row.row, row.serial_number, row.product_name, row.image_urls)

Blocking, and without any store or network: call it in a thread.
"""

from deployments.catalogue.columns import ERRORS_COLUMN, output_urls_column
from deployments.catalogue.duplicates import Repeats
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
    "Repeats",
    "Survey",
    "open_catalogue",
    "output_urls_column",
    "survey_catalogue",
    "valid_rows",
]
