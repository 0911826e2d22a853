"""Catalogues for tests."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = ("Serial Number", "Product Name", "Input Image Urls")


def catalogue(*rows: Sequence[str], header: Sequence[str] = HEADER) -> bytes:
    """Return a CSV with a row for each product: its number, its name and its image URLs."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for number, urls in enumerate(rows, start=1):
        writer.writerow([number, f"Product {number}", ", ".join(urls)])
    return text.getvalue().encode()
