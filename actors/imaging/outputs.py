"""One output of a source: transformed, coded, fitted, and never worse than the source's own coded picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from actors.imaging import transform
from actors.imaging.coders import Coder, general_coder, plain_coder
from actors.imaging.colour import to_srgb
from actors.imaging.fitting import Coded, largest_fitting
from actors.imaging.formats import ANIMATED_FORMATS, PROFILE_FORMATS, target_formats
from actors.imaging.libvips import VipsImage, pyvips
from actors.imaging.original import reusable
from actors.imaging.transform import Size
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.records import Decision, ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.source import Source
    from cluster.options import OutputOptions

_OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Compressed:
    """An output.

    Attributes:
        data: The file.
        width: Pixels, of one frame when it is animated.
        height: Pixels, likewise.
        format: Of the file.
        quality: With which it was coded; None where there is none to set, or the coded picture is the source's.
        decision: Whether these are the bytes of the source.
    """

    data: bytes
    width: int
    height: int
    format: ImageFormat
    quality: int | None
    decision: Decision


@dataclass(frozen=True, slots=True)
class Material:
    """What the outputs of a source are made from.

    Attributes:
        source: The file.
        opened: The same, opened by libvips: its size, orientation and profile.
        picture: Its pixels, as large as the largest output needs them.
        in_memory: Whether `picture` may be read more than once, and in any order.
    """

    source: Source
    opened: VipsImage
    picture: VipsImage
    in_memory: bool


def wanted_size(opened: VipsImage, options: OutputOptions) -> Size:
    """The size of the output before it is turned upright."""
    return transform.fitted_size(opened, options.max_width, options.max_height)


def candidate_formats(source: Source, options: OutputOptions) -> list[ImageFormat]:
    """The formats that the output may get; a still one for an animation only when there is no other."""
    formats = target_formats(source.format, options)
    # The frames of a PNG cannot be decoded: they move only in a PNG that is handed on.
    can_move = ANIMATED_FORMATS if source.loads_frames else {ImageFormat.PNG}
    moving = [each for each in formats if each in can_move]
    return moving if source.is_animated and moving else formats


def keeps_frames(source: Source, options: OutputOptions) -> bool:
    """Whether the output is an animation."""
    return source.loads_frames and candidate_formats(source, options)[0] in ANIMATED_FORMATS


def make_output(material: Material, options: OutputOptions) -> Compressed:
    """One output; of several formats the one with the smallest file.

    Raises:
        ImageError: `encode_failed` or `max_bytes_exceeded`.
        pyvips.Error: The decoder or the encoder failed.
    """
    formats = candidate_formats(material.source, options)
    if len(formats) == 1:
        return _made(material, options, formats[0], partial(_transformed, material, options))
    picture = _without_opaque_alpha(_transformed(material, options).copy_memory())
    if picture.hasalpha():
        formats = [each for each in formats if each is not ImageFormat.JPEG] or formats
    made: list[Compressed] = []
    failures: list[Exception] = []
    for each in formats:
        try:
            made.append(_made(material, options, each, lambda: picture))
        except (ImageError, pyvips.Error) as error:
            failures.append(error)
    if not made:
        raise failures[0]
    # One whose quality had to be lowered for `max_bytes` is not better for being a few bytes smaller.
    return min(made, key=lambda output: ((output.quality or options.quality) < options.quality, len(output.data)))


def _made(
    material: Material, options: OutputOptions, target: ImageFormat, transformed: Callable[[], VipsImage]
) -> Compressed:
    """The smaller one of the result and, where it may be handed on, the source."""
    source, opened = material.source, material.opened
    stays = source.format.value == target.value and Size.of(opened) == wanted_size(opened, options)
    general = functools.cache(
        lambda: general_coder(source, opened, transformed(), options, target, stays=stays)  # the plain way needs none
    )
    coder = plain_coder(source, opened, options, general) if stays and not material.in_memory else None
    coder = coder or general()
    result = Coded(coder.encode(options.quality), options.quality if coder.has_quality else None)
    original = reusable(source.data, source.format, opened, keep_metadata=options.keep_metadata) if stays else None
    loses_frames = source.is_animated and not keeps_frames(source, options)
    if original is not None and (len(result.data) >= len(original) or loses_frames) and _fits(original, options):
        decision = Decision.KEPT_ORIGINAL if original == source.data else Decision.COMPRESSED
        return Compressed(original, coder.size.width, coder.size.height, target, None, decision)
    if not _fits(result.data, options):
        result = _fitted(coder, options, target, len(result.data))
    return Compressed(result.data, coder.size.width, coder.size.height, target, result.quality, Decision.COMPRESSED)


def _fits(data: bytes, options: OutputOptions) -> bool:
    return options.max_bytes is None or len(data) <= options.max_bytes


def _fitted(coder: Coder, options: OutputOptions, target: ImageFormat, size_bytes: int) -> Coded:
    """The result at the largest quality with which it fits."""
    allowed = options.max_bytes or size_bytes
    name = target.value.upper()
    if not coder.has_quality:
        message = (
            f"As {name}, which is coded without loss here, the image has {size_bytes:,} bytes, and maxBytes is "
            f"{allowed:,}; ask for another format, or for a smaller width and height."
        )
        raise ImageError(ImageErrorCode.MAX_BYTES_EXCEEDED, message)
    lowest = options.lowest_quality
    fitting = largest_fitting(coder.encode, max_bytes=allowed, lowest_quality=lowest, below_quality=options.quality)
    if fitting is None:
        message = (
            f"As {name} of quality {lowest} the image has more than the {allowed:,} bytes of maxBytes; ask for a lower "
            "minQuality, or for a smaller width and height."
        )
        raise ImageError(ImageErrorCode.MAX_BYTES_EXCEEDED, message)
    return fitting


def _transformed(material: Material, options: OutputOptions) -> VipsImage:
    """The picture as it is to be coded. Shrinking comes first: what follows has fewer pixels to do."""
    image = material.picture
    if material.source.is_animated and not keeps_frames(material.source, options):
        image = transform.first_frame(image)
    image = transform.resize(image, wanted_size(material.opened, options))
    keep_profile = options.keep_metadata and set(candidate_formats(material.source, options)) <= PROFILE_FORMATS
    return transform.upright(to_srgb(image, keep_profile=keep_profile))


def _without_opaque_alpha(picture: VipsImage) -> VipsImage:
    """The picture without an alpha channel that hides nothing, so that formats without alpha may be tried."""
    if not picture.hasalpha() or picture[picture.bands - 1].min() < _OPAQUE:
        return picture
    return picture.extract_band(0, n=picture.bands - 1)
