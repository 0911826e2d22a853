"""Encoding: one function a format, and every setting that decides about bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.errors import ImageError, ImageErrorCode
from cluster.records import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.libvips import VipsImage

_KEEP_NOTHING = "none"
_KEEP_METADATA = "exif|xmp|iptc"
_MAX_SIDES = {ImageFormat.WEBP: 16_383}  # where the format allows less than the gate
_LOW_DEPTHS = frozenset({1, 2, 4})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How to write a picture.

    Attributes:
        quality: 1 to 100, of lossy coding.
        lossless: Whether to code without loss, where the format has both ways (WebP, TIFF).
        grey_depth: Bits that are enough for each pixel of a grey picture: 1, 2, 4 or 8.
        keep_metadata: EXIF, XMP and IPTC; never a profile, since the pixels are sRGB.
    """

    quality: int
    lossless: bool
    grey_depth: int
    keep_metadata: bool

    @property
    def keep(self) -> str:
        """What libvips is to write beside the pixels."""
        return _KEEP_METADATA if self.keep_metadata else _KEEP_NOTHING


def encode(image: VipsImage, target: ImageFormat, encoding: Encoding) -> bytes:
    """The picture as a file; this is where most of the decoding happens, too.

    Raises:
        ImageError: `encode_failed`, when the format cannot hold the picture.
        pyvips.Error: The decoder or the encoder failed.
    """
    side = _MAX_SIDES.get(target)
    if side is not None and max(image.width, image.get_page_height()) > side:
        name = "WebP" if target is ImageFormat.WEBP else target.upper()
        message = f"{name} allows {side:,} pixels a side; ask for a smaller width and height, or for another format."
        raise ImageError(ImageErrorCode.ENCODE_FAILED, message)
    return _ENCODERS[target](image, encoding)


def _jpeg(image: VipsImage, encoding: Encoding) -> bytes:
    # Optimised tables: 11% smaller for a third more time on a photograph.
    data: bytes = image.jpegsave_buffer(Q=encoding.quality, optimize_coding=True, keep=encoding.keep)
    return data


def _png(image: VipsImage, encoding: Encoding) -> bytes:
    depth = {"bitdepth": encoding.grey_depth} if encoding.grey_depth in _LOW_DEPTHS else {}
    # Level 9 takes three times as long as 6 and gains nothing on photographs; adaptive filters gain a third.
    filters = "none" if depth else "all"
    data: bytes = image.pngsave_buffer(compression=6, filter=filters, keep=encoding.keep, **depth)
    return data


def _webp(image: VipsImage, encoding: Encoding) -> bytes:
    data: bytes = image.webpsave_buffer(Q=encoding.quality, lossless=encoding.lossless, keep=encoding.keep)
    return data


def _avif(image: VipsImage, encoding: Encoding) -> bytes:
    data: bytes = image.heifsave_buffer(Q=encoding.quality, compression="av1", bitdepth=8, keep=encoding.keep)
    return data


def _gif(image: VipsImage, encoding: Encoding) -> bytes:
    data: bytes = image.gifsave_buffer(keep=encoding.keep)
    return data


def _tiff(image: VipsImage, encoding: Encoding) -> bytes:
    how: dict[str, Any] = {"compression": "jpeg", "Q": encoding.quality}
    if encoding.grey_depth == 1:
        how = {"compression": "ccittfax4", "bitdepth": 1}
    elif encoding.lossless or image.hasalpha():  # JPEG in TIFF has no alpha
        how = {"compression": "deflate", "predictor": "horizontal"}
    data: bytes = image.tiffsave_buffer(keep=encoding.keep, **how)
    return data


_ENCODERS: dict[ImageFormat, Callable[[VipsImage, Encoding], bytes]] = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.WEBP: _webp,
    ImageFormat.AVIF: _avif,
    ImageFormat.GIF: _gif,
    ImageFormat.TIFF: _tiff,
}
