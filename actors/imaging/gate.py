"""The gate: what a header may claim before a decoder sees the file.

A decoder allocates by the header. Without the gate a WebP of 34 bytes costs 2.2 GB, and a progressive JPEG of
693 bytes costs 15 seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.containers import avif, bmp, gif, jpeg, png, tiff, webp
from actors.imaging.formats import SourceFormat
from actors.imaging.header import Header, corrupt
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

_READERS: dict[SourceFormat, Callable[[bytes], Header]] = {
    SourceFormat.JPEG: jpeg.read_header,
    SourceFormat.PNG: png.read_header,
    SourceFormat.GIF: gif.read_header,
    SourceFormat.WEBP: webp.read_header,
    SourceFormat.AVIF: avif.read_header,
    SourceFormat.TIFF: tiff.read_header,
    SourceFormat.BMP: bmp.read_header,
}


_SCANS_AT_MOST_PIXELS = 20  # of the largest progressive JPEG; encoders write about ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large an image may be.

    Attributes:
        max_pixels: Of a still, and of all frames of an animation together, since they are decoded together.
        max_side_pixels: Of width and of height.
        max_frames: Of an animation, whatever becomes of it.
        max_buffered_pixels: Of GIF, WebP, AVIF, BMP and interlaced PNG, whose decoders take up to 27 bytes a pixel; all
            frames together.
        max_progressive_pixels: Of a JPEG that must be held in memory whole while its scans are decoded; of three
            colours, with four a quarter less.
    """

    max_pixels: int
    max_side_pixels: int
    max_frames: int
    max_buffered_pixels: int
    max_progressive_pixels: int


def read_header(data: bytes, source: SourceFormat) -> Header:
    """What the file says about itself; nothing is decoded.

    Raises:
        ImageError: `corrupt_image` or `unsupported_format`.
    """
    header = _READERS[source](data)
    if header.width < 1 or header.height < 1:
        raise corrupt("its header gives no size")
    return header


def check(header: Header, limits: Limits) -> None:
    """Refuse what is over the limits.

    Raises:
        ImageError: `too_many_pixels` or `too_many_frames`.
    """
    if max(header.width, header.height) > limits.max_side_pixels:
        raise _too_many_pixels(
            f"The image is {header.width:,} by {header.height:,} pixels; {limits.max_side_pixels:,} a side are allowed."
        )
    if header.frames > limits.max_frames:
        message = f"The animation has {header.frames:,} frames; {limits.max_frames:,} are allowed."
        raise ImageError(ImageErrorCode.TOO_MANY_FRAMES, message)
    pixels = header.width * header.height
    most = min(limits.max_pixels, limits.max_buffered_pixels) if header.is_buffered else limits.max_pixels
    if pixels * header.frames > most:
        raise _too_many_pixels(_pixels_message(pixels, header.frames, most))
    if header.scans > 1:
        _check_scans(pixels, header.scans, limits.max_progressive_pixels * 3 // header.colours)


def _check_scans(pixels: int, scans: int, max_pixels: int) -> None:
    """Each scan costs a pass over the whole picture."""
    what = f"The image is a progressive JPEG of {_megapixels(pixels)} megapixels"
    if pixels > max_pixels:
        raise _too_many_pixels(f"{what}; {_megapixels(max_pixels)} are allowed.")
    allowed = _SCANS_AT_MOST_PIXELS * max_pixels // pixels
    if scans > allowed:
        raise _too_many_pixels(f"{what} in {scans} scans; of this size, {allowed} are allowed.")


def _pixels_message(pixels: int, frames: int, max_pixels: int) -> str:
    if frames == 1:
        return f"The image has {_megapixels(pixels)} megapixels; {_megapixels(max_pixels)} are allowed."
    total = _megapixels(pixels * frames)
    return (
        f"The animation has {frames:,} frames of {_megapixels(pixels)} megapixels, {total} in all; "
        f"{_megapixels(max_pixels)} are allowed."
    )


def _megapixels(pixels: int) -> str:
    """Pixels as people say them: three significant digits, but never fewer than the whole number has."""
    value = pixels / 1_000_000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - where three digits become whole


def _too_many_pixels(message: str) -> ImageError:
    return ImageError(ImageErrorCode.TOO_MANY_PIXELS, message)
