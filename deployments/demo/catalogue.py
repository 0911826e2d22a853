"""The demo's catalogue: its products and their pictures."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.demo.image_host import Behaviour, ImageHost, SourceImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = ("Serial Number", "Product Name", "Input Image Urls")


@dataclass(frozen=True)
class CatalogueRow:
    """One row of the catalogue: a product with its images."""

    name: str
    images: tuple[SourceImage, ...]


def write_catalogue(path: Path, rows: Sequence[CatalogueRow], image_host: ImageHost) -> None:
    """Write the CSV that is uploaded."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for serial_number, row in enumerate(rows, start=1):
            writer.writerow([serial_number, row.name, ", ".join(map(image_host.url_of, row.images))])


def _row(name: str, *images: str | SourceImage) -> CatalogueRow:
    return CatalogueRow(name, tuple(SourceImage(source) if isinstance(source, str) else source for source in images))


ROWS = (
    _row("Serving bowl, glazed red", "red-bowl-with-fig.jpg", "red-bowl-cut-out.png", "fig-close-up.jpg"),
    _row("Beanbag, sand", "beanbag-in-living-room.jpg", "beanbag-with-djembe.jpg"),
    _row("Djembe drum, rope-tuned", SourceImage("djembe-drum.jpg", Behaviour.SLOW)),
    _row("Coffee grinder with crank", "coffee-grinder.jpg"),
    _row("Espresso cup and saucer", "espresso-cup.jpg", SourceImage("espresso-cup-detail.jpg", Behaviour.MISSING)),
    _row("Wall clock, backlit", "wall-clock.jpg", SourceImage("wall-clock.jpg", Behaviour.BROKEN)),
    _row("Ceiling lamp with bird", "bird-mobile-lamp.jpg"),
    _row("Decorative bulb, clear", "light-bulb.png"),
    _row("Artist's brushes, mixed", "artists-brushes.jpg", "painters-brushes.jpg"),
    _row("Colour pencils, set", "colour-pencils.jpg"),
    _row("Game controller, white", "game-controller.jpg"),
    _row("Match football", "football.jpg"),
    _row("Camera tripod", "camera-on-tripod.jpg"),
    _row("Hardback books, pair", "stack-of-books.jpg"),
    _row("Fruit box, citrus", "citrus-slices.jpg"),
    _row("Lunch: sushi or pancakes", "sushi-platter.webp", "pancakes.jpg"),
    _row("Red wine and cocktail glass", "wine-bottle-and-glass.jpg", "red-cocktail.jpg"),
    _row("Flowers for bees, 3 plants", "dahlia.jpg", "bee-on-aster.jpg", "sunflower.bmp"),
    _row(
        "Prints for the wall",
        "dandelion-meadow.jpg",
        "nuthatch-on-a-trunk.jpg",
        "dogs-at-a-window.jpg",
        "print-daffodils.jpg",
    ),
    _row("Balloon flight, voucher", "hot-air-balloon.gif"),
)
