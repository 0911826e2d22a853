"""Compressing one image: identify, gate, decode once, and make every output from that.

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

from typing import TYPE_CHECKING

from actors.imaging import transform
from actors.imaging.decode import damaged, decode, is_decodable
from actors.imaging.formats import SourceFormat
from actors.imaging.libvips import VipsImage, pyvips
from actors.imaging.outputs import Compressed, Material, candidate_formats, keeps_frames, make_output, wanted_size
from actors.imaging.source import Source, check_opened
from actors.imaging.transform import Size
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from actors.imaging.gate import Limits
    from cluster.options import ImageOptions


def compress(data: bytes, options: ImageOptions, limits: Limits) -> list[Compressed]:
    """Smaller copies of an image, one for each output. The same arguments give the same bytes; any thread may call it.

    Args:
        data: The file, whatever its name says.
        options: What the client asks for.
        limits: How large the image may be.

    Raises:
        ImageError: `empty`, `not_an_image`, `unsupported_format`, `corrupt_image`, `too_many_pixels`,
            `too_many_frames`, `encode_failed` or `max_bytes_exceeded`.
    """
    source = Source.read(data, limits)
    all_frames = any(keeps_frames(source, each) for each in options.each_output)
    opened = decode(data, source.format, all_frames=all_frames)
    check_opened(opened, source.header, limits)
    try:
        material = _material(source, opened, options, all_frames=all_frames)
        return [make_output(material, each) for each in options.each_output]
    except pyvips.Error as error:
        if not is_decodable(data, source.format, all_frames=all_frames):
            raise damaged() from error
        message = "The image could not be written in the format that was asked for."
        raise ImageError(ImageErrorCode.ENCODE_FAILED, message) from error


def _material(source: Source, opened: VipsImage, options: ImageOptions, *, all_frames: bool) -> Material:
    """The pixels: a stream where one pass is enough, else decoded into memory, once and for all outputs."""
    full = Size.of(opened)
    sizes = [wanted_size(opened, each) for each in options.each_output]
    largest = max(sizes, key=lambda size: size.width * size.height)
    shrink = transform.decoder_shrink(full, largest) if source.format is SourceFormat.JPEG else 1
    takes_turns = len(sizes) > 1 or any(len(candidate_formats(source, each)) > 1 for each in options.each_output)
    # Frames are cut out of the strip for a new size, which a stream does not allow.
    in_memory = takes_turns or (all_frames and largest != full)
    if shrink == 1 and not in_memory:
        return Material(source, opened, opened, in_memory)
    picture = decode(source.data, source.format, all_frames=all_frames, shrink=shrink, in_memory=in_memory)
    return Material(source, opened, picture, in_memory)
