"""The limits of the gate, and what it costs to refuse a file."""

from __future__ import annotations

import re
import resource
import time
from dataclasses import replace

import pytest

from actors.imaging.compress import compress
from actors.imaging.containers import jpeg, png
from actors.imaging.formats import SourceFormat
from actors.imaging.gate import check
from actors.imaging.header import Header
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.unit.actors.imaging.headers import BOMBS, BUFFERED, jpeg_of, png_of, webp_of
from tests.unit.actors.imaging.pictures import LIMITS, photo, refusal, run, save

MEBIBYTE_IN_KIB = 1024


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize(("width", "height"), [(16_383, 16_383), (16_000, 4_000)])
def test_a_header_that_claims_too_much_costs_nothing(name: str, width: int, height: int) -> None:
    bomb = BOMBS[name](width, height)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    error = refusal(bomb)
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    allowed = 16 if name in BUFFERED else 50
    found = f"The image has {width * height // 1_000_000} megapixels"
    assert error.message == f"{found}, over the limit of {allowed}. Make it smaller."
    assert time.process_time() - started < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * MEBIBYTE_IN_KIB


def test_the_smallest_bomb_has_34_bytes() -> None:
    assert len(webp_of(16_383, 16_383)) == 34


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "webp"])  # a WebP has no larger sides
def test_a_side_that_is_too_long(name: str) -> None:
    error = refusal(BOMBS[name](16_385, 1))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert re.fullmatch(
        r"The image is 16,385 by 16? pixels, over the limit of 16,384 a side\. Make it smaller\.", error.message
    )


@pytest.mark.parametrize("name", ["png", "tiff", "bmp", "avif"])
def test_the_largest_numbers_do_not_overflow(name: str) -> None:
    assert refusal(BOMBS[name](2**31 - 1, 2**31 - 1)).code is ImageErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "webp"])
def test_no_size_at_all_is_damage(name: str) -> None:
    data = BOMBS[name](0, 0)
    if name == "gif":  # the canvas is then that of the frame
        assert run(data).width == 16
    else:
        assert refusal(data).code is ImageErrorCode.CORRUPT_IMAGE


@pytest.mark.parametrize("marker", [0xC2, 0xC6, 0xCA])
def test_progressive_jpegs_have_their_own_limit(marker: int) -> None:
    error = refusal(jpeg_of(6_000, 5_000, marker))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    found = "The image is a progressive JPEG of 30 megapixels"
    assert error.message == f"{found}, over the limit of 20. Save it as a baseline JPEG."


def test_progressive_below_the_limit_is_read() -> None:
    source = save(photo(), "JPEG", progressive=True)
    assert jpeg.read_header(source) == Header(width=160, height=120, scans=10)
    assert run(source).data
    small = replace(LIMITS, max_progressive_pixels=10_000)
    with pytest.raises(ImageError, match=r"progressive JPEG of 0\.0192 megapixels, over the limit of 0\.01\."):
        compress(source, ImageOptions(), small)


def test_the_limit_itself_is_allowed() -> None:
    limits = replace(LIMITS, max_pixels=160 * 120, max_side_pixels=160, max_frames=1)
    assert compress(save(photo(), "PNG"), ImageOptions(), limits)[0].width == 160
    assert LIMITS.max_pixels == 50_000_000


def is_allowed(header: Header, source: SourceFormat = SourceFormat.JPEG) -> bool:
    try:
        check(header, source, LIMITS)
    except ImageError as error:
        assert error.code is ImageErrorCode.TOO_MANY_PIXELS  # noqa: PT017 - nothing else is possible here
        return False
    return True


@pytest.mark.parametrize("name", BUFFERED)
def test_formats_that_are_held_in_memory_have_their_own_limit(name: str) -> None:
    error = refusal(BOMBS[name](6_000, 5_000))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert error.message == "The image has 30 megapixels, over the limit of 16. Make it smaller."
    check(Header(width=4_000, height=4_000, is_buffered=True), SourceFormat.WEBP, LIMITS)
    assert not is_allowed(Header(width=4_001, height=4_000, is_buffered=True))


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff"])
def test_formats_that_go_row_by_row_have_the_larger_one(name: str) -> None:
    data = BOMBS[name](6_000, 5_000)
    try:
        run(data)
    except ImageError as error:
        assert error.code is ImageErrorCode.CORRUPT_IMAGE  # noqa: PT017 - the pixels are missing, not too many
    check(Header(width=10_000, height=5_000), SourceFormat.PNG, LIMITS)
    assert not is_allowed(Header(width=10_001, height=5_000))


def test_an_interlaced_png_is_held_in_memory() -> None:
    assert png.read_header(png_of(6_000, 5_000, interlaced=1)).is_buffered
    assert not png.read_header(png_of(6_000, 5_000)).is_buffered
    error = refusal(png_of(6_000, 5_000, interlaced=1))
    assert error.message == "The image has 30 megapixels, over the limit of 16. Make it smaller."


def test_the_lower_of_two_limits_counts() -> None:
    limits = replace(LIMITS, max_pixels=100, max_buffered_pixels=1_000)
    check(Header(width=10, height=10, is_buffered=True), SourceFormat.WEBP, limits)
    with pytest.raises(ImageError, match=r"has 0\.00011 megapixels, over the limit of 0\.0001\."):
        check(Header(width=11, height=10, is_buffered=True), SourceFormat.WEBP, limits)


def test_frames_share_the_limit() -> None:
    check(Header(width=400, height=400, frames=100, is_buffered=True), SourceFormat.WEBP, LIMITS)
    with pytest.raises(ImageError) as caught:
        check(Header(width=700, height=700, frames=100, is_buffered=True), SourceFormat.WEBP, LIMITS)
    assert caught.value.code is ImageErrorCode.TOO_MANY_PIXELS
    assert caught.value.message == (
        "The animation has 100 frames of 0.49 megapixels, 49 in all. "
        "This is over the limit of 16: make it smaller or shorter."
    )


@pytest.mark.parametrize(
    ("width", "height", "scans"), [(5_000, 4_000, 39), (4_000, 2_500, 80), (2_000, 2_000, 100), (1, 1, 100)]
)
def test_the_smaller_a_progressive_jpeg_the_more_scans_it_may_have(width: int, height: int, scans: int) -> None:
    assert is_allowed(Header(width=width, height=height, scans=scans))
    assert width * height < 10_000_000 or not is_allowed(Header(width=width, height=height, scans=scans + 1))


def test_too_many_scans_are_said_so() -> None:
    with pytest.raises(ImageError) as caught:
        check(Header(width=5_000, height=4_000, scans=60), SourceFormat.JPEG, LIMITS)
    found = "The image needs about 7.5 seconds of CPU to decode, for 20 megapixels in 60 scans"
    message = f"{found}, over the limit of 5 seconds. Save it as a baseline JPEG."
    assert (caught.value.code, caught.value.message) == (ImageErrorCode.TOO_MANY_PIXELS, message)


def test_four_colours_are_more_to_hold_than_three() -> None:
    source = save(photo().convert("CMYK"), "JPEG", progressive=True)
    assert jpeg.read_header(source) == Header(width=160, height=120, scans=18, colours=4)
    assert is_allowed(Header(width=5_000, height=3_000, scans=20, colours=4))
    with pytest.raises(ImageError, match=r"progressive JPEG of 16 megapixels, over the limit of 15\."):
        check(Header(width=5_000, height=3_200, scans=18, colours=4), SourceFormat.JPEG, LIMITS)
