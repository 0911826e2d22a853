"""The results of all pictures, compared with the expected ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.records import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.client.answers import ImageAnswer, ProductAnswer
    from deployments.demo.catalogue import CatalogueRow
    from deployments.demo.image_host import SourceImage


@dataclass(frozen=True)
class Picture:
    """One picture of the catalogue and its result."""

    source: SourceImage
    image: ImageAnswer
    output_url: str | None

    @property
    def code(self) -> str | None:
        """The code of its error, or None when it succeeded."""
        return self.image.error.code if self.image.error else None

    @property
    def surprise(self) -> str | None:
        """The difference from the expected result as a sentence, or None when there is none."""
        expected = self.source.behaviour.expected_code
        if self.code != expected:
            found = self.code or "succeeded"
            return f"{self.source.filename} ({self.source.behaviour}): {found}, expected {expected or 'success'}"
        if expected is None and (self.image.status != Status.COMPLETED or self.output_url is None):
            return f"{self.source.filename}: {self.image.status} without a link to its output"
        return None


@dataclass(frozen=True)
class Outcome:
    """One product of the catalogue and its result."""

    row: CatalogueRow
    product: ProductAnswer

    def pictures(self) -> Iterator[Picture]:
        """Yield the product's pictures, in order."""
        yield from map(Picture, self.row.images, self.product.images, self.product.output_image_urls)

    @property
    def bytes_in(self) -> int:
        """The bytes of the sources of all pictures that succeeded."""
        return sum(picture.image.bytes_in for picture in self.pictures() if picture.code is None)

    @property
    def bytes_out(self) -> int:
        """The bytes of the outputs of all pictures that succeeded."""
        return sum(picture.image.bytes_out for picture in self.pictures() if picture.code is None)

    @property
    def codes(self) -> Counter[str]:
        """The number of failed pictures by code."""
        return Counter(picture.code for picture in self.pictures() if picture.code is not None)


def outcomes_of(rows: Sequence[CatalogueRow], products: Sequence[ProductAnswer]) -> list[Outcome]:
    """Return each row of the catalogue with its result.

    Raises:
        ValueError: The service answered for other products than those of the catalogue.
    """
    sent = [(number, row.name, len(row.images)) for number, row in enumerate(rows, start=1)]
    found = [(product.serial_number, product.product_name, len(product.images)) for product in products]
    if sent != found:
        message = f"The service answered for {len(found)} products that are not the {len(sent)} that were sent."
        raise ValueError(message)
    return list(map(Outcome, rows, products))


def surprises(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a sentence for each result that is not as expected."""
    return [picture.surprise for outcome in outcomes for picture in outcome.pictures() if picture.surprise]
