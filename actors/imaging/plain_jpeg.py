"""The commonest job by the shortest way: a plain sRGB JPEG to a JPEG of the same size, by libjpeg-turbo.

It does what the way through libvips does, and the same bytes come out but for rounding, in three quarters of the time:
simplejpeg decodes into four bytes a pixel, which is the layout that Pillow's encoder takes without another copy.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import simplejpeg
from PIL import Image as Pillow

from actors.imaging.colour import is_srgb
from actors.imaging.encode import MAX_OPTIMISED_PIXELS, MIN_FULL_CHROMA_QUALITY
from actors.imaging.formats import SourceFormat
from actors.imaging.transform import orientation
from cluster.options import Effort

if TYPE_CHECKING:
    from actors.imaging.libvips import VipsImage
    from actors.imaging.source import Source
    from cluster.options import OutputOptions

_COLOURS = 3
_LAYOUT = "RGBX"


def is_plain(source: Source, opened: VipsImage, options: OutputOptions) -> bool:
    """Whether the way applies, given that format and size stay.

    Args:
        source: The file.
        opened: The same, opened by libvips.
        options: Of the output.
    """
    return (
        source.format is SourceFormat.JPEG
        and source.header.width * source.header.height <= MAX_OPTIMISED_PIXELS
        and options.effort is not Effort.MAX  # only mozjpeg has the trellis
        and not options.keep_metadata
        and opened.bands == _COLOURS
        and opened.format == "uchar"
        and orientation(opened) == 1
        and is_srgb(opened)
    )


def decode(data: bytes) -> Pillow.Image | None:
    """The picture; None when there is anything odd about the file, so that the general way finds out what."""
    try:
        pixels = simplejpeg.decode_jpeg(data, _LAYOUT)
    except ValueError:
        return None
    height, width, _ = pixels.shape
    return Pillow.frombuffer(_LAYOUT, (width, height), pixels, "raw", _LAYOUT, 0, 1)


def encode(picture: Pillow.Image, quality: int, *, effort: Effort) -> bytes | None:
    """The picture as a JPEG, with the sampling of chroma that libvips would choose.

    None when the file is larger than Pillow's buffer for optimised tables, about a byte a pixel.
    """
    file = BytesIO()
    sampling = "4:4:4" if quality >= MIN_FULL_CHROMA_QUALITY else "4:2:0"
    try:
        picture.save(file, "JPEG", quality=quality, subsampling=sampling, optimize=effort is Effort.BALANCED)
    except OSError:
        return None
    return file.getvalue()
