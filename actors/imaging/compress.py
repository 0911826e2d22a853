"""Compressing one image: identify, gate, decode, transform, encode, and never make it worse.

What is kept of what:

- `format: keep` writes a BMP as PNG and everything else as itself; PNG, lossless WebP and lossless TIFF stay lossless.
- GIF and WebP keep their animation in GIF and WebP; any other way the first frame is taken. An animated PNG is kept as
  it is (only its metadata goes) when neither another format nor another size is asked for. Of a TIFF the first page is
  taken.
- When the result is not smaller, and format and size are those of the source, the source's own coded picture is taken,
  with its metadata cut out without loss. `kept_original` says that the output is the source, byte for byte; a source
  that only lost its metadata is `compressed`. A picture that must be turned upright or converted to sRGB is coded
  again in any case, and may then be larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging import transform
from actors.imaging.colour import to_srgb
from actors.imaging.decode import damaged, decode, is_decodable
from actors.imaging.encode import Encoding, encode
from actors.imaging.formats import SourceFormat, identify, target_format
from actors.imaging.gate import Limits, check, read_header
from actors.imaging.header import Header
from actors.imaging.libvips import VipsImage, pyvips
from actors.imaging.original import reusable
from actors.imaging.transform import Size
from cluster.errors import ImageError, ImageErrorCode
from cluster.records import Decision, ImageFormat

if TYPE_CHECKING:
    from cluster.records import ImageOptions

_ANIMATED_TARGETS = frozenset({ImageFormat.GIF, ImageFormat.WEBP})
_FULL_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Compressed:
    """An output.

    Attributes:
        data: The file.
        width: Pixels, of one frame when it is animated.
        height: Pixels, likewise.
        format: Of the file.
        decision: Whether these are the bytes of the source.
    """

    data: bytes
    width: int
    height: int
    format: ImageFormat
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Source:
    """A source past the gate."""

    data: bytes
    format: SourceFormat
    header: Header
    all_frames: bool


def compress(data: bytes, options: ImageOptions, limits: Limits) -> Compressed:
    """A smaller copy of an image. The same arguments give the same bytes; any thread may call it.

    Args:
        data: The file, whatever its name says.
        options: What the client asks for.
        limits: How large the image may be.

    Raises:
        ImageError: `empty`, `not_an_image`, `unsupported_format`, `corrupt_image`, `too_many_pixels`,
            `too_many_frames` or `encode_failed`.
    """
    source_format = identify(data)
    header = read_header(data, source_format)
    check(header, limits)
    target = target_format(source_format, options)
    source = _Source(data, source_format, header, header.frames > 1 and target in _ANIMATED_TARGETS)
    opened = decode(data, source_format, all_frames=source.all_frames)
    _check_opened(opened, limits)
    wanted = transform.fitted_size(opened, options.max_width, options.max_height)
    try:
        return _choose(source, opened, wanted, target, options)
    except pyvips.Error as error:
        if not is_decodable(data, source_format, all_frames=source.all_frames):
            raise damaged() from error
        message = f"The image could not be written as {target.value.upper()}."
        raise ImageError(ImageErrorCode.ENCODE_FAILED, message) from error


def _check_opened(image: VipsImage, limits: Limits) -> None:
    """The gate once more, by what the decoder is about to do: a second reader may read a header differently."""
    size = Size.of(image)
    check(Header(width=size.width, height=size.height, frames=image.height // size.height), limits)


def _choose(
    source: _Source,
    opened: VipsImage,
    wanted: Size,
    target: ImageFormat,
    options: ImageOptions,
) -> Compressed:
    """The smaller one of the result and, where it may be handed on, the source."""
    is_same = source.format.value == target.value and Size.of(opened) == wanted
    original = reusable(source.data, source.format, opened, keep_metadata=options.keep_metadata) if is_same else None
    picture = _transformed(source, opened, wanted, target, options)
    size = Size.of(picture)
    encoding = Encoding(
        quality=options.quality,
        lossless=_stays_lossless(source, target),
        grey_depth=_grey_depth(opened) if is_same else _FULL_DEPTH,
        keep_metadata=options.keep_metadata,
    )
    result = encode(picture, target, encoding)
    loses_frames = source.header.frames > 1 and not source.all_frames
    if original is not None and (len(result) >= len(original) or loses_frames):
        decision = Decision.KEPT_ORIGINAL if original == source.data else Decision.COMPRESSED
        return Compressed(original, size.width, size.height, target, decision)
    return Compressed(result, size.width, size.height, target, Decision.COMPRESSED)


def _transformed(
    source: _Source,
    opened: VipsImage,
    wanted: Size,
    target: ImageFormat,
    options: ImageOptions,
) -> VipsImage:
    """The picture as it is to be written. Shrinking comes first: what follows has fewer pixels to do."""
    full = Size.of(opened)
    image = opened
    if wanted != full:
        shrink = transform.decoder_shrink(full, wanted) if source.format is SourceFormat.JPEG else 1
        if shrink > 1:
            image = decode(source.data, source.format, shrink=shrink)
        elif source.all_frames:  # they are cut out of the strip, which a stream does not allow
            image = decode(source.data, source.format, all_frames=True, in_memory=True)
        image = transform.resize(image, wanted)
    image = transform.upright(to_srgb(image))
    return transform.flatten(image, options.background) if target is ImageFormat.JPEG else image


def _stays_lossless(source: _Source, target: ImageFormat) -> bool:
    """Whether the format stays and was used without loss."""
    return source.format.value == target.value and source.header.lossless


def _grey_depth(image: VipsImage) -> int:
    """Bits of each pixel of a grey picture as the source has it; 8 for colours."""
    field = "bits-per-sample"
    if image.bands != 1 or not image.get_typeof(field):
        return _FULL_DEPTH
    depth: int = image.get(field)
    return min(_FULL_DEPTH, depth)
