"""The demo's catalogue: which products have which pictures, and what must become of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.demo.gallery import Gallery, Shot, Way

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


ARTICLES = (
    _article("Serving bowl, glazed red", "red-bowl-with-fig.jpg", "red-bowl-cut-out.png", "fig-close-up.jpg"),
    _article("Beanbag, sand", "beanbag-in-living-room.jpg", "beanbag-with-djembe.jpg"),
    _article("Djembe drum, rope-tuned", Shot("djembe-drum.jpg", Way.SLOW)),
    _article("Coffee grinder with crank", "coffee-grinder.jpg"),
    _article("Espresso cup and saucer", "espresso-cup.jpg", Shot("espresso-cup-detail.jpg", Way.MISSING)),
    _article("Wall clock, backlit", "wall-clock.jpg", Shot("wall-clock.jpg", Way.BROKEN)),
    _article("Ceiling lamp with bird", "bird-mobile-lamp.jpg"),
    _article("Decorative bulb, clear", "light-bulb.png"),
    _article("Artist's brushes, mixed", "artists-brushes.jpg", "painters-brushes.jpg"),
    _article("Colour pencils, set", "colour-pencils.jpg"),
    _article("Game controller, white", "game-controller.jpg"),
    _article("Match football", "football.jpg"),
    _article("Camera tripod", "camera-on-tripod.jpg"),
    _article("Hardback books, pair", "stack-of-books.jpg"),
    _article("Fruit box, citrus", "citrus-slices.jpg"),
    _article("Lunch: sushi or pancakes", "sushi-platter.webp", "pancakes.jpg"),
    _article("Red wine and cocktail glass", "wine-bottle-and-glass.jpg", "red-cocktail.jpg"),
    _article("Flowers for bees, 3 plants", "dahlia.jpg", "bee-on-aster.jpg", "sunflower.bmp"),
    _article(
        "Prints for the wall",
        "dandelion-meadow.jpg",
        "nuthatch-on-a-trunk.jpg",
        "dogs-at-a-window.jpg",
        "print-daffodils.jpg",
    ),
    _article("Balloon flight, voucher", "hot-air-balloon.gif"),
)
