"""The header of a BMP, of all kinds and at the limits."""

from __future__ import annotations

import pytest

from actors.imaging.containers import bmp
from actors.imaging.header import Header
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from tests.unit.actors.imaging.hostile.bmps import BITFIELDS, LEAST, RGB, RLE4, RLE8, core
from tests.unit.actors.imaging.hostile.bmps import bmp as bmp_of

INFORMATION_END, CORE_END = 34, 22  # of the numbers that are read


def refused(data: bytes) -> tuple[ImageErrorCode, str]:
    with pytest.raises(ImageError) as caught:
        bmp.read_header(data)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(("data", "enough"), [(bmp_of(16, 9), INFORMATION_END), (core(16, 9), CORE_END)])
def test_the_size_is_known_as_soon_as_its_bytes_are_there(data: bytes, enough: int) -> None:
    for end in range(len(data)):
        if end < enough:
            assert refused(data[:end]) == (
                ImageErrorCode.CORRUPT_IMAGE,
                "The image is damaged: it ends too early. Replace the file.",
            )
        else:
            assert bmp.read_header(data[:end]) == Header(width=16, height=9, is_buffered=True)


def test_sides_of_an_old_header_are_never_negative() -> None:
    assert bmp.read_header(core(65_535, 40_000)) == Header(width=65_535, height=40_000, is_buffered=True)


@pytest.mark.parametrize(("height", "rows"), [(-9, 9), (LEAST, 2**31)])
def test_rows_from_top_to_bottom_count_like_others(height: int, rows: int) -> None:
    assert bmp.read_header(bmp_of(16, height)) == Header(width=16, height=rows, is_buffered=True)


@pytest.mark.parametrize("packing", [RLE8, RLE4])
def test_run_lengths_have_a_limit_of_their_own(packing: int) -> None:
    assert bmp.read_header(bmp_of(1_000, 1_000, packing=packing)).width == 1_000
    code, message = refused(bmp_of(1_001, 1_000, packing=packing))
    assert code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert message.startswith("The image is a large BMP with run-length encoding.")


@pytest.mark.parametrize("packing", [RGB, BITFIELDS])
def test_other_encodings_do_not_have_it(packing: int) -> None:
    assert bmp.read_header(bmp_of(1_001, 1_000, packing=packing)).width == 1_001
