"""Generated pictures for the tests, and helpers to compress them and to look at the outputs."""

from __future__ import annotations

import random
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow
from PIL import ImageChops, ImageStat

from actors.imaging.compress import compress
from actors.imaging.gate import Limits
from actors.imaging.libvips import VipsImage, pyvips
from cluster.errors import ImageError
from cluster.options import ImageOptions

if TYPE_CHECKING:
    from actors.imaging.compressed import Compressed

LIMITS = Limits(
    max_pixels=50_000_000,
    max_side_pixels=16_384,
    max_frames=100,
    max_buffered_pixels=16_000_000,
    max_progressive_pixels=20_000_000,
    max_cpu_seconds=5,
)


def run(data: bytes, **options: object) -> Compressed:
    (output,) = compress(data, ImageOptions.model_validate(options), LIMITS)
    return output


def refusal(data: bytes, **options: object) -> ImageError:
    with pytest.raises(ImageError) as caught:
        run(data, **options)
    return caught.value


def photo(width: int = 160, height: int = 120, seed: int = 1) -> Pillow.Image:
    """Make a smooth picture with a little noise and another colour in every corner."""
    corners = Pillow.new("RGB", (2, 2))
    corners.putdata([(220, 40, 30), (40, 200, 60), (30, 60, 210), (230, 220, 50)])
    smooth = corners.resize((width, height), Pillow.Resampling.BILINEAR)
    noise = Pillow.frombytes("L", (width, height), random.Random(seed).randbytes(width * height))  # noqa: S311 - must repeat
    return Pillow.blend(smooth, noise.convert("RGB"), 0.05)


def flat(colour: tuple[int, ...] | int, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Pillow.Image:
    return Pillow.new(mode, size, colour)


def save(picture: Pillow.Image, file_format: str, **how: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, file_format, **how)
    return stream.getvalue()


def look(data: bytes) -> Pillow.Image:
    picture = Pillow.open(BytesIO(data))
    picture.load()
    return picture


def difference(one: Pillow.Image, other: Pillow.Image) -> float:
    """Return the mean absolute difference of a channel, 0 to 255."""
    assert one.size == other.size
    mode = "RGBA" if "A" in one.getbands() else "RGB"
    statistics = ImageStat.Stat(ImageChops.difference(one.convert(mode), other.convert(mode)))
    return max(statistics.mean)


def pixel(data: bytes, at: tuple[int, int] = (20, 20), mode: str = "RGB") -> tuple[int, ...]:
    value = look(data).convert(mode).getpixel(at)
    assert isinstance(value, tuple)
    return value


def near(one: tuple[int, ...], other: tuple[int, ...], tolerance: int = 6) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def deep(*values: int, bits: int = 16) -> VipsImage:
    """Make a flat picture of 64 by 48 pixels with a number of bits a channel."""
    interpretation = {1: "grey16"}.get(len(values), "rgb16") if bits > 8 else "srgb"
    blank = pyvips.Image.black(64, 48, bands=len(values)).linear(1, list(values))
    return blank.cast("ushort" if bits > 8 else "uchar").copy(interpretation=interpretation)
