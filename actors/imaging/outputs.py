"""One output of a source: transformed, encoded, fitted to `maxBytes`, and never worse than the source."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from actors.imaging import transform
from actors.imaging.colour import to_srgb
from actors.imaging.compressed import Compressed
from actors.imaging.encoders import Encoder, general_encoder, plain_encoder
from actors.imaging.fitting import Encoded, fits, largest_fitting
from actors.imaging.formats import display_name
from actors.imaging.libvips import VipsImage, pyvips
from actors.imaging.original import is_kept, reusable
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.records import Decision, ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.output_plan import OutputPlan
    from actors.imaging.source import Source
    from cluster.options import OutputOptions

_OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Material:
    """The source of all outputs of an image.

    Attributes:
        source: The file.
        opened: The same file, opened by libvips. It tells size, orientation and profile.
        picture: The pixels, as large as the largest output needs them.
        in_memory: Whether `picture` may be read more than once and in any order.
    """

    source: Source
    opened: VipsImage
    picture: VipsImage
    in_memory: bool


def make_output(material: Material, plan: OutputPlan) -> Compressed:
    """Make one output. Of several formats, the one with the smallest file wins.

    Raises:
        ImageError: `encode_failed` or `max_bytes_exceeded`.
        pyvips.Error: The decoder or the encoder failed.
    """
    formats = plan.formats
    if len(formats) == 1:
        return _made(material, plan, formats[0], partial(_transformed, material, plan))
    picture = _without_opaque_alpha(_transformed(material, plan).copy_memory())
    if picture.hasalpha():
        formats = tuple(each for each in formats if each is not ImageFormat.JPEG) or formats
    made: list[Compressed] = []
    failures: list[Exception] = []
    for each in formats:
        try:
            made.append(_made(material, plan, each, lambda: picture))
        except (ImageError, pyvips.Error) as error:
            failures.append(error)
    if not made:
        raise failures[0]
    # An output at a lower quality, for `maxBytes`, does not win by a few bytes.
    quality = plan.options.quality
    return min(made, key=lambda output: ((output.quality or quality) < quality, len(output.data)))


def _made(
    material: Material, plan: OutputPlan, target: ImageFormat, transformed: Callable[[], VipsImage]
) -> Compressed:
    """Return the smaller one of the result and, where it may be handed on, the source."""
    source, opened, options = material.source, material.opened, plan.options
    is_unchanged = target is plan.unchanged_format
    general = functools.cache(lambda: general_encoder(source, opened, transformed(), plan, target))
    fast = plain_encoder(source, opened, options, general) if is_unchanged and not material.in_memory else None
    encoder = fast or general()
    result = Encoded(encoder.encode(options.quality), options.quality if encoder.has_quality else None)
    original = reusable(source, opened, keep_metadata=options.keep_metadata) if is_unchanged else None
    if original is not None and is_kept(original, result.data, plan):
        decision = Decision.KEPT_ORIGINAL if original == source.data else Decision.COMPRESSED
        return Compressed(original, encoder.size.width, encoder.size.height, target, None, decision)
    if not fits(result.data, options):
        result = _fitted(encoder, options, target, len(result.data))
    return Compressed(result.data, encoder.size.width, encoder.size.height, target, result.quality, Decision.COMPRESSED)


def _fitted(encoder: Encoder, options: OutputOptions, target: ImageFormat, size_bytes: int) -> Encoded:
    """Return the result at the largest quality with which it fits."""
    allowed = options.max_bytes or size_bytes
    name = display_name(target)
    if not encoder.has_quality:
        message = (
            f"As {name} the image has {size_bytes:,} bytes, over the maxBytes of {allowed:,}, and no quality to lower. "
            "Ask for another format, or for a smaller maxWidth and maxHeight."
        )
        raise ImageError(ImageErrorCode.MAX_BYTES_EXCEEDED, message)
    lowest = options.lowest_quality
    fitting = largest_fitting(encoder.encode, max_bytes=allowed, lowest_quality=lowest, below_quality=options.quality)
    if fitting is None:
        message = (
            f"As {name} of quality {lowest} the image is still over the maxBytes of {allowed:,}. "
            "Ask for a lower minQuality, or for a smaller maxWidth and maxHeight."
        )
        raise ImageError(ImageErrorCode.MAX_BYTES_EXCEEDED, message)
    return fitting


def _transformed(material: Material, plan: OutputPlan) -> VipsImage:
    """Return the picture as it is encoded. Shrinking comes first, because the later steps then have fewer pixels."""
    image = material.picture
    if plan.loses_frames:
        image = transform.first_frame(image)
    image = transform.resize(image, plan.size)
    return transform.upright(to_srgb(image, keep_profile=plan.keeps_profile))


def _without_opaque_alpha(picture: VipsImage) -> VipsImage:
    """Return the picture without an alpha channel that hides nothing. Formats without alpha may then be tried."""
    if not picture.hasalpha() or picture[picture.bands - 1].min() < _OPAQUE:
        return picture
    return picture.extract_band(0, n=picture.bands - 1)
