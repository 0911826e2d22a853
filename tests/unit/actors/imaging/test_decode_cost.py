"""The estimate of a decoder's CPU time: large pictures pass, and small files that ask for much work do not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from actors.imaging.compress import compress
from actors.imaging.decode_cost import cpu_seconds
from actors.imaging.formats import SourceFormat
from actors.imaging.gate import check
from actors.imaging.header import Header
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from cluster.settings import Settings
from tests.unit.actors.imaging.hostile.avifs import grid, repeated
from tests.unit.actors.imaging.pace import slowdown
from tests.unit.actors.imaging.pictures import LIMITS, photo, refusal, save

UNLIMITED = replace(LIMITS, max_pixels=10**9, max_buffered_pixels=10**9, max_progressive_pixels=10**9)
"""The limits without those of pixels. So the estimate alone decides."""


@pytest.mark.parametrize("source", SourceFormat)
@pytest.mark.parametrize(("width", "height"), [(8_160, 6_144), (8_000, 8_000)])
def test_a_still_of_64_megapixels_is_below_the_limit_in_every_format(
    source: SourceFormat, width: int, height: int
) -> None:
    assert Settings().max_image_cpu_seconds == LIMITS.max_cpu_seconds == 5
    check(Header(width=width, height=height), source, UNLIMITED)
    if source is SourceFormat.JPEG:
        check(Header(width=width, height=height, scans=10), source, UNLIMITED)


@pytest.mark.parametrize("source", SourceFormat)
def test_the_estimate_does_not_lower_the_limits_of_pixels(source: SourceFormat) -> None:
    assert cpu_seconds(Header(width=10_000, height=5_000), source) < 5
    assert cpu_seconds(Header(width=400, height=400, frames=100), source) < 5


def test_an_avif_may_have_an_alpha_channel_of_its_size() -> None:
    check(Header(width=6_000, height=4_000, decoded_pixels=48_000_000), SourceFormat.AVIF, UNLIMITED)


def test_twice_the_work_is_twice_the_estimate() -> None:
    one, all_frames = Header(width=1_000, height=1_000), Header(width=1_000, height=1_000, frames=7)
    for source in SourceFormat:
        assert cpu_seconds(all_frames, source) == pytest.approx(7 * cpu_seconds(one, source))
    parts = replace(one, decoded_pixels=9_000_000)
    assert cpu_seconds(parts, SourceFormat.AVIF) == pytest.approx(9 * cpu_seconds(one, SourceFormat.AVIF))


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("data", "seconds", "megapixels"),
    [(grid(16, 16, 1_024, 1_024, tile=1_024), "20.1", "268"), (repeated(100), "7.86", "105")],
)
def test_a_small_avif_of_much_work_is_refused_at_once(data: bytes, seconds: str, megapixels: str) -> None:
    assert len(data) < 200_000
    started = time.process_time()
    error = refusal(data)
    assert time.process_time() - started < 0.1 * slowdown()
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert error.message == (
        f"The image needs about {seconds} seconds of CPU to decode, for {megapixels} megapixels in all its parts, "
        "over the limit of 5 seconds. Save it as one still picture."
    )


def test_the_limit_is_a_setting() -> None:
    low = replace(LIMITS, max_cpu_seconds=0.0001)
    with pytest.raises(ImageError) as caught:
        compress(save(photo(), "PNG"), ImageOptions(), low)
    assert caught.value.message == (
        "The image needs about 0.000768 seconds of CPU to decode, for 0.0192 megapixels, "
        "over the limit of 0.0001 seconds. Make it smaller."
    )
