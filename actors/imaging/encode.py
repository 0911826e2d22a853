"""Encoding by libvips: one function for each format, with every setting that decides about bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.imaging.formats import display_name
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import Effort
from cluster.records import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.libvips import VipsImage

_KEEP_NOTHING = "none"
_KEEP_METADATA = "exif|xmp|iptc|icc"
_MAX_SIDE_PIXELS = {ImageFormat.WEBP: 16_383}  # the format allows less than the gate
_LOW_DEPTHS = frozenset({1, 2, 4})
MAX_OPTIMISED_PIXELS = 24_000_000
"""The largest JPEG that gets optimised tables at an effort below `max`.

The encoder then holds all coefficients in memory, 3 to 6 bytes a pixel.
"""
MIN_FULL_CHROMA_QUALITY = 90
"""The lowest quality at which a JPEG's chroma is not subsampled. The rule is libvips' own."""
_WEBP_EFFORTS = {Effort.FAST: 2, Effort.BALANCED: 4, Effort.MAX: 6}
_AVIF_EFFORTS = {Effort.FAST: 0, Effort.BALANCED: 3, Effort.MAX: 6}  # 0.2, 1 and 20 seconds for 2.5 megapixels
_GIF_EFFORTS = {Effort.FAST: 3, Effort.BALANCED: 7, Effort.MAX: 10}
_DEFLATE_LEVELS = {Effort.FAST: 3, Effort.BALANCED: 6, Effort.MAX: 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The settings with which a picture is written.

    Attributes:
        quality: The quality of lossy encoding, 1 to 100.
        effort: How much time may be taken to save bytes.
        lossless: Whether to encode without loss, where the format has both ways (WebP, TIFF).
        grey_depth: The bits that each pixel of a grey picture needs: 1, 2, 4 or 8.
        keep_metadata: Whether to write EXIF, XMP, IPTC, and the profile when the picture still has one.
    """

    quality: int
    effort: Effort
    lossless: bool
    grey_depth: int
    keep_metadata: bool

    @property
    def keep(self) -> str:
        """The metadata that libvips writes beside the pixels."""
        return _KEEP_METADATA if self.keep_metadata else _KEEP_NOTHING


def encode(image: VipsImage, target: ImageFormat, encoding: Encoding) -> bytes:
    """Encode the picture as a file. Most of the decoding happens here, too, since the picture is a stream.

    Raises:
        ImageError: `encode_failed`, when the format cannot hold the picture.
        pyvips.Error: The decoder or the encoder failed.
    """
    most = _MAX_SIDE_PIXELS.get(target)
    if most is not None and max(image.width, image.get_page_height()) > most:
        message = (
            f"The image is too large for {display_name(target)}, which allows {most:,} pixels a side. "
            "Ask for a smaller maxWidth and maxHeight, or for another format."
        )
        raise ImageError(ImageErrorCode.ENCODE_FAILED, message)
    return _ENCODERS[target](image, encoding)


def has_quality(image: VipsImage, target: ImageFormat, encoding: Encoding) -> bool:
    """Return whether the quality changes anything."""
    if target is ImageFormat.TIFF:
        return "Q" in _tiff_settings(image, encoding)
    return target in _LOSSY and not (target is ImageFormat.WEBP and encoding.lossless)


def _jpeg(image: VipsImage, encoding: Encoding) -> bytes:
    is_max = encoding.effort is Effort.MAX
    is_small = image.width * image.height <= MAX_OPTIMISED_PIXELS
    data: bytes = image.jpegsave_buffer(
        Q=encoding.quality,
        optimize_coding=is_max or (is_small and encoding.effort is Effort.BALANCED),
        trellis_quant=is_max,
        overshoot_deringing=is_max,
        keep=encoding.keep,
    )
    return data


def _png(image: VipsImage, encoding: Encoding) -> bytes:
    depth = {"bitdepth": encoding.grey_depth} if encoding.grey_depth in _LOW_DEPTHS else {}
    # Adaptive filters gain a third on photographs.
    filters = "none" if depth else "all"
    level = _DEFLATE_LEVELS[encoding.effort]
    data: bytes = image.pngsave_buffer(compression=level, filter=filters, keep=encoding.keep, **depth)
    return data


def _webp(image: VipsImage, encoding: Encoding) -> bytes:
    effort = _WEBP_EFFORTS[encoding.effort]
    data: bytes = image.webpsave_buffer(
        Q=encoding.quality, lossless=encoding.lossless, effort=effort, keep=encoding.keep
    )
    return data


def _avif(image: VipsImage, encoding: Encoding) -> bytes:
    effort = _AVIF_EFFORTS[encoding.effort]
    data: bytes = image.heifsave_buffer(
        Q=encoding.quality, compression="av1", bitdepth=8, effort=effort, keep=encoding.keep
    )
    return data


def _gif(image: VipsImage, encoding: Encoding) -> bytes:
    data: bytes = image.gifsave_buffer(effort=_GIF_EFFORTS[encoding.effort], keep=encoding.keep)
    return data


def _tiff(image: VipsImage, encoding: Encoding) -> bytes:
    data: bytes = image.tiffsave_buffer(keep=encoding.keep, **_tiff_settings(image, encoding))
    return data


def _tiff_settings(image: VipsImage, encoding: Encoding) -> dict[str, Any]:
    if encoding.grey_depth == 1:
        return {"compression": "ccittfax4", "bitdepth": 1}
    if encoding.lossless or image.hasalpha():  # JPEG in TIFF has no alpha
        return {"compression": "deflate", "predictor": "horizontal"}
    return {"compression": "jpeg", "Q": encoding.quality}


_LOSSY = frozenset({ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.AVIF})
_ENCODERS: dict[ImageFormat, Callable[[VipsImage, Encoding], bytes]] = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.WEBP: _webp,
    ImageFormat.AVIF: _avif,
    ImageFormat.GIF: _gif,
    ImageFormat.TIFF: _tiff,
}
