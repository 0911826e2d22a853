"""Every file is refused or read. No other error is raised, and both passes agree."""

from __future__ import annotations

import csv
import io
import random
from typing import TYPE_CHECKING

import pytest

from cluster.errors import RefusedError
from deployments.catalogue import open_catalogue, survey_catalogue, valid_rows

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ROWS = 30
MAX_IMAGES = 4


def outcome(data: bytes) -> str:
    """`refused` or `read`, after a check that both passes agree."""
    try:
        catalogue = open_catalogue(io.BytesIO(data), max_rows=MAX_ROWS, max_images_per_product=MAX_IMAGES)
        survey = survey_catalogue(catalogue)
    except RefusedError:
        return "refused"
    rows = list(valid_rows(catalogue))
    assert len(rows) == survey.products
    assert survey.products + survey.rejected_rows == survey.rows <= MAX_ROWS
    assert sum(len(row.image_urls) for row in rows) == survey.images
    assert all(len(row.cells) == len(catalogue.columns) for row in rows)
    assert all(0 < len(row.image_urls) <= MAX_IMAGES and row.product_name for row in rows)
    numbers = [problem.row for problem in survey.problems]
    assert numbers == sorted(numbers)
    assert not {row.row for row in rows} & set(numbers)
    assert len({row.row for row in rows}) == len(rows)
    assert survey.rejected_rows + (not survey.complete) == len(set(numbers))
    assert all(problem.message.endswith(".") for problem in survey.problems)
    return "read"


def noise(seeded: random.Random) -> bytes:
    return seeded.randbytes(seeded.randint(0, 300))


def text_of_the_grammar(seeded: random.Random) -> bytes:
    pieces = ['"', '""', ",", ";", "\n", "\r\n", "\r", " ", "1", "x", "http://a.example/1", "\t", "é", "|"]
    rows = "".join(seeded.choices(pieces, k=seeded.randint(0, 200)))
    return f"No,Name,Images\n{rows}".encode()


def mutated_catalogue(seeded: random.Random) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=seeded.choice(",;"), lineterminator=seeded.choice(["\n", "\r\n", "\r"]))
    writer.writerow(seeded.sample(["No", "Name", "Images", "Errors", "Output Image Urls", ""], k=6))
    for number in range(seeded.randint(0, 40)):
        writer.writerow(
            [number, 'A "big"\nshoe', "http://a.example/1, http://a.example/2", "", "x"][: seeded.randint(3, 9)]
        )
    data = bytearray(text.getvalue().encode())
    for _ in range(seeded.randint(0, 5)):
        position = seeded.randrange(len(data))
        data[position : position + seeded.randint(0, 3)] = seeded.choice([b"", b'"', b"\n", b",", b";", b"a", b"\x1b"])
    return bytes(data)


@pytest.mark.parametrize("make", [noise, text_of_the_grammar, mutated_catalogue])
def test_nothing_but_a_refusal_is_raised_and_both_passes_agree(make: Callable[[random.Random], bytes]) -> None:
    seeded = random.Random(2)  # noqa: S311 - repeatable test data
    outcomes = [outcome(make(seeded)) for _ in range(1_500)]
    assert make is noise or outcomes.count("read") > 300
