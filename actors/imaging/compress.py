"""The steps of one image: identify, check the limits, plan every output, decode once, make the outputs.

- `format: keep` writes a BMP as PNG and every other format as itself. PNG, lossless WebP and lossless TIFF stay
  lossless.
- GIF and WebP keep their animation in GIF and WebP. Every other output takes the first frame.
- An animated PNG is handed on, without its metadata, when neither another format nor another size is asked for.
- The first page of a TIFF is taken, or the page of which the first one is a thumbnail.
- When the result is not smaller, the source's own encoded picture is taken. This needs the same format and size.
  Metadata is cut out of it without loss.
- `kept_original` says that the output is the source, byte for byte. A source that only lost its metadata is
  `compressed`.
- A picture that must be turned upright or converted to sRGB is always encoded again. It may then grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.imaging import transform
from actors.imaging.decode import damaged, decode, is_decodable
from actors.imaging.formats import SourceFormat
from actors.imaging.libvips import VipsImage, pyvips
from actors.imaging.output_plan import OutputPlan, plan_formats
from actors.imaging.outputs import Material, make_output
from actors.imaging.source import Source, check_opened
from actors.imaging.transform import Size
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from actors.imaging.compressed import Compressed
    from actors.imaging.gate import Limits
    from cluster.options import ImageOptions


def compress(data: bytes, options: ImageOptions, limits: Limits) -> list[Compressed]:
    """Return smaller copies of an image, one for each output.

    The same arguments give the same bytes. Any thread may call it.

    Args:
        data: The file. Its type is told from its bytes.
        options: The client's options.
        limits: How large the image may be.

    Raises:
        ImageError: `empty`, `not_an_image`, `unsupported_format`, `corrupt_image`, `too_many_pixels`,
            `too_many_frames`, `encode_failed` or `max_bytes_exceeded`.
    """
    source = Source.read(data, limits)
    format_plans = [
        plan_formats(each, source=source.format, frames=source.header.frames) for each in options.each_output
    ]
    all_frames = any(plan.keeps_frames for plan in format_plans)
    page = source.header.page
    opened = decode(data, source.format, all_frames=all_frames, page=page)
    check_opened(opened, source, limits)
    full, orientation = Size.of(opened), transform.orientation(opened)
    plans = [plan.sized(full, orientation=orientation) for plan in format_plans]
    try:
        material = _material(source, opened, plans, all_frames=all_frames)
        return [make_output(material, plan) for plan in plans]
    except pyvips.Error as error:
        if not is_decodable(data, source.format, all_frames=all_frames, page=page):
            raise damaged() from error
        message = "The image could be read, but not be written in its output format. Ask for another format."
        raise ImageError(ImageErrorCode.ENCODE_FAILED, message) from error


def _material(source: Source, opened: VipsImage, plans: list[OutputPlan], *, all_frames: bool) -> Material:
    """Return the pixels: a stream where one pass is enough, else decoded into memory once for all outputs."""
    full = Size.of(opened)
    largest = max((plan.size for plan in plans), key=lambda size: size.width * size.height)
    shrink = transform.decoder_shrink(full, largest) if source.format is SourceFormat.JPEG else 1
    takes_turns = len(plans) > 1 or any(len(plan.formats) > 1 for plan in plans)
    # A new size needs each frame cut out of the strip of all frames. A stream does not allow that.
    in_memory = takes_turns or (all_frames and largest != full)
    if shrink == 1 and not in_memory:
        return Material(source, opened, opened, in_memory)
    picture = decode(
        source.data,
        source.format,
        all_frames=all_frames,
        shrink=shrink,
        in_memory=in_memory,
        page=source.header.page,
    )
    return Material(source, opened, picture, in_memory)
