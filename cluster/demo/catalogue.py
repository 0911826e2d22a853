"""The demo's catalogue: which products have which pictures, and what must become of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.demo.gallery import Gallery, Shot, Way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = ("Serial Number", "Product Name", "Input Image Urls")


@dataclass(frozen=True)
class Article:
    """One product of the catalogue."""

    name: str
    shots: tuple[Shot, ...]


def write_catalogue(path: Path, articles: Sequence[Article], gallery: Gallery) -> None:
    """Write the CSV that is uploaded."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for serial_number, article in enumerate(articles, start=1):
            writer.writerow([serial_number, article.name, ", ".join(map(gallery.url_of, article.shots))])


def _article(name: str, *shots: str | Shot) -> Article:
    return Article(name, tuple(Shot(shot) if isinstance(shot, str) else shot for shot in shots))


ARTICLES = (_article("Example", Shot("a.jpg", Way.SLOW)),)
