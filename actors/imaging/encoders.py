"""Encoders: each turns one prepared picture into a file, at any quality that is asked for."""

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
    from actors.imaging.output_plan import OutputPlan
    from actors.imaging.source import Source
    from cluster.options import OutputOptions

_FULL_DEPTH_BITS = 8


@dataclass(frozen=True, slots=True)
class Encoder:
    """A picture of a fixed size that can be encoded at any quality.

    Attributes:
        encode: The function from a quality, 1 to 100, to a file.
        size: The size of the picture.
        has_quality: Whether the quality changes anything.
    """

    encode: Callable[[int], bytes]
    size: Size
    has_quality: bool


def plain_encoder(
    source: Source, opened: VipsImage, options: OutputOptions, general: Callable[[], Encoder]
) -> Encoder | None:
    """Return the fast encoder for a JPEG that stays a JPEG of the same size. Return None where it does not apply.

    Args:
        source: The file.
        opened: The same file, opened by libvips.
        options: The client's options for this output.
        general: Makes the general encoder, which takes over when a file is too large for the fast one.
    """
    if not plain_jpeg.is_plain(source, opened, options):
        return None
    picture = plain_jpeg.decode(source.data)
    if picture is None:
        return None

    def encode_at(quality: int) -> bytes:
        return plain_jpeg.encode(picture, quality, effort=options.effort) or general().encode(quality)

    return Encoder(encode_at, Size(*picture.size), has_quality=True)


def general_encoder(
    source: Source, opened: VipsImage, picture: VipsImage, plan: OutputPlan, target: ImageFormat
) -> Encoder:
    """Return the encoder by libvips, which can do every picture in every format.

    Args:
        source: The file.
        opened: The same file, opened by libvips. It tells the bit depth of the source.
        picture: The transformed picture.
        plan: The plan of the output.
        target: The format of the output.
    """
    options = plan.options
    if target is ImageFormat.JPEG:
        picture = flatten(picture, options.background)
    if options.max_bytes is not None:
        picture = picture.copy_memory()  # it may be encoded several times
    encoding = Encoding(
        quality=options.quality,
        effort=options.effort,
        lossless=source.format.value == target.value and source.header.lossless,
        grey_depth=_grey_depth(opened) if target is plan.unchanged_format else _FULL_DEPTH_BITS,
        keep_metadata=options.keep_metadata,
    )

    def encode_at(quality: int) -> bytes:
        return encode(picture, target, replace(encoding, quality=quality))

    return Encoder(encode_at, Size.of(picture), has_quality(picture, target, encoding))


def _grey_depth(image: VipsImage) -> int:
    """Return the bits of each pixel of a grey source, at most 8. Return 8 for colours."""
    field = "bits-per-sample"
    if image.bands != 1 or not image.get_typeof(field):
        return _FULL_DEPTH_BITS
    depth: int = image.get(field)
    return min(_FULL_DEPTH_BITS, depth)
