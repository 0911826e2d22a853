"""Coders: from a quality to a file, of a picture that is ready to be written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.imaging import plain_jpeg
from actors.imaging.encode import Encoding, encode, has_quality
from actors.imaging.transform import Size, flatten
from cluster.records import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.libvips import VipsImage
    from actors.imaging.source import Source
    from cluster.options import OutputOptions

_FULL_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Coder:
    """A picture of some size that can be coded at any quality.

    Attributes:
        encode: From a quality, 1 to 100, to a file.
        size: Of the picture.
        has_quality: Whether the quality changes anything.
    """

    encode: Callable[[int], bytes]
    size: Size
    has_quality: bool


def plain_coder(
    source: Source, opened: VipsImage, options: OutputOptions, general: Callable[[], Coder]
) -> Coder | None:
    """The shortest way, for a JPEG that stays one of the same size; None when the general way must be taken.

    Args:
        source: The file, and
        opened: the same as libvips opened it.
        options: Of the output.
        general: The general way, for a picture that turns out to be too much for the shortest.
    """
    if not plain_jpeg.is_plain(source, opened, options):
        return None
    picture = plain_jpeg.decode(source.data)
    if picture is None:
        return None

    def encode_at(quality: int) -> bytes:
        return plain_jpeg.encode(picture, quality, effort=options.effort) or general().encode(quality)

    return Coder(encode_at, Size(*picture.size), has_quality=True)


def general_coder(
    source: Source, opened: VipsImage, picture: VipsImage, options: OutputOptions, target: ImageFormat, *, stays: bool
) -> Coder:
    """By libvips.

    Args:
        source: The file, and
        opened: the same as libvips opened it, for how its pixels were coded.
        picture: The transformed picture.
        options: Of the output.
        target: The output's format.
        stays: Whether format and size are those of the source.
    """
    if target is ImageFormat.JPEG:
        picture = flatten(picture, options.background)
    if options.max_bytes is not None:
        picture = picture.copy_memory()  # it may be coded several times
    encoding = Encoding(
        quality=options.quality,
        effort=options.effort,
        lossless=source.format.value == target.value and source.header.lossless,
        grey_depth=_grey_depth(opened) if stays else _FULL_DEPTH,
        keep_metadata=options.keep_metadata,
    )

    def encode_at(quality: int) -> bytes:
        return encode(picture, target, replace(encoding, quality=quality))

    return Coder(encode_at, Size.of(picture), has_quality(picture, target, encoding))


def _grey_depth(image: VipsImage) -> int:
    """Bits of each pixel of a grey picture as the source has it; 8 for colours."""
    field = "bits-per-sample"
    if image.bands != 1 or not image.get_typeof(field):
        return _FULL_DEPTH
    depth: int = image.get(field)
    return min(_FULL_DEPTH, depth)
