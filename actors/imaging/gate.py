"""The gate: the limits that a header must keep before a decoder sees the file.

A decoder allocates memory by the header. Without the gate a WebP of 34 bytes costs 2.2 GB, and a progressive JPEG of
693 bytes costs 15 seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from actors.imaging import decode_cost
from actors.imaging.containers import avif, bmp, gif, jpeg, png, tiff, webp
from actors.imaging.formats import SourceFormat
from actors.imaging.header import Header, corrupt
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.settings import Settings

_READERS: dict[SourceFormat, Callable[[bytes], Header]] = {
    SourceFormat.JPEG: jpeg.read_header,
    SourceFormat.PNG: png.read_header,
    SourceFormat.GIF: gif.read_header,
    SourceFormat.WEBP: webp.read_header,
    SourceFormat.AVIF: avif.read_header,
    SourceFormat.TIFF: tiff.read_header,
    SourceFormat.BMP: bmp.read_header,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest image that is read.

    Attributes:
        max_pixels: The pixels of a still, or of all frames of an animation, since they are decoded together.
        max_side_pixels: The pixels of the longer side.
        max_frames: The frames of an animation, even if the output is a still.
        max_buffered_pixels: The pixels of a GIF, WebP, AVIF, BMP or interlaced PNG, all frames together. Their decoders
            take up to 27 bytes a pixel.
        max_progressive_pixels: The pixels of a JPEG that must be held in memory whole while its scans are decoded. This
            is for three colours; with four, a quarter less is allowed.
        max_cpu_seconds: The CPU seconds that the decoder may need, as `decode_cost` estimates them.
    """

    max_pixels: int
    max_side_pixels: int
    max_frames: int
    max_buffered_pixels: int
    max_progressive_pixels: int
    max_cpu_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of a deployment."""
        return cls(
            max_pixels=settings.max_pixels,
            max_side_pixels=settings.max_side_pixels,
            max_frames=settings.max_frames,
            max_buffered_pixels=settings.max_buffered_pixels,
            max_progressive_pixels=settings.max_progressive_pixels,
            max_cpu_seconds=settings.max_image_cpu_seconds,
        )


def read_header(data: bytes, source: SourceFormat) -> Header:
    """Read the header of a file. Nothing is decoded.

    Raises:
        ImageError: `corrupt_image` or `unsupported_format`.
    """
    header = _READERS[source](data)
    if header.width < 1 or header.height < 1:
        raise corrupt("its header gives no size")
    return header


def check(header: Header, source: SourceFormat, limits: Limits) -> None:
    """Refuse an image that is over the limits.

    Raises:
        ImageError: `too_many_pixels` or `too_many_frames`.
    """
    if max(header.width, header.height) > limits.max_side_pixels:
        size, limit = f"{header.width:,} by {header.height:,} pixels", f"{limits.max_side_pixels:,} a side"
        raise _too_many_pixels(f"The image is {size}, over the limit of {limit}. Make it smaller.")
    if header.frames > limits.max_frames:
        message = (
            f"The animation has {header.frames:,} frames, over the limit of {limits.max_frames:,}. Make it shorter."
        )
        raise ImageError(ImageErrorCode.TOO_MANY_FRAMES, message)
    pixels = header.width * header.height
    most = min(limits.max_pixels, limits.max_buffered_pixels) if header.is_buffered else limits.max_pixels
    if pixels * header.frames > most:
        raise _too_many_pixels(_pixels_message(pixels, header.frames, most))
    if header.scans > 1:
        _check_progressive(pixels, limits.max_progressive_pixels * 3 // header.colours)
    _check_cost(header, source, limits.max_cpu_seconds)


def _check_progressive(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        found, limit = _megapixels(pixels), _megapixels(max_pixels)
        message = f"The image is a progressive JPEG of {found} megapixels, over the limit of {limit}."
        raise _too_many_pixels(f"{message} Save it as a baseline JPEG.")


def _check_cost(header: Header, source: SourceFormat, max_cpu_seconds: float) -> None:
    """Refuse an image whose decoder would be busy for too long. Small files may ask for much work."""
    seconds = decode_cost.cpu_seconds(header, source)
    if seconds <= max_cpu_seconds:
        return
    work, advice = f"{_megapixels(header.coded_pixels)} megapixels", "Make it smaller."
    if header.scans > 1:
        work, advice = f"{work} in {header.scans} scans", "Save it as a baseline JPEG."
    elif header.decoded_pixels > header.width * header.height:
        work, advice = f"{work} in all its parts", "Save it as one still picture."
    found = f"The image needs about {seconds:,.3g} seconds of CPU to decode, for {work}"
    raise _too_many_pixels(f"{found}, over the limit of {max_cpu_seconds:g} seconds. {advice}")


def _pixels_message(pixels: int, frames: int, max_pixels: int) -> str:
    each, total, limit = _megapixels(pixels), _megapixels(pixels * frames), _megapixels(max_pixels)
    if frames == 1:
        return f"The image has {each} megapixels, over the limit of {limit}. Make it smaller."
    return (
        f"The animation has {frames:,} frames of {each} megapixels, {total} in all. "
        f"This is over the limit of {limit}: make it smaller or shorter."
    )


def _megapixels(pixels: int) -> str:
    """Return the megapixels with three significant digits, or more where the whole number has more."""
    value = pixels / 1_000_000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - where three digits become whole


def _too_many_pixels(message: str) -> ImageError:
    return ImageError(ImageErrorCode.TOO_MANY_PIXELS, message)
