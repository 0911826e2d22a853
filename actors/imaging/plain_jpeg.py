"""The fast path of the commonest job, by libjpeg-turbo: a plain sRGB JPEG to a JPEG of the same size.

It gives the same bytes as the path through libvips, but for rounding, in three quarters of the time. The decoder,
simplejpeg, makes four bytes a pixel. This is the layout that Pillow's encoder takes without another copy.
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
    """Return whether the fast path applies to an output of the same format and size.

    Args:
        source: The file.
        opened: The same file, opened by libvips.
        options: The client's options for this output.
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
    """Decode the file. Return None for an unusual file, which libvips then judges."""
    try:
        pixels = simplejpeg.decode_jpeg(data, _LAYOUT)
    except ValueError:
        return None
    height, width, _ = pixels.shape
    return Pillow.frombuffer(_LAYOUT, (width, height), pixels, "raw", _LAYOUT, 0, 1)


def encode(picture: Pillow.Image, quality: int, *, effort: Effort) -> bytes | None:
    """Encode the picture as a JPEG, with the chroma subsampling that libvips would choose.

    Returns:
        None when the file is larger than Pillow's buffer for optimised tables, about a byte a pixel.
    """
    file = BytesIO()
    sampling = "4:4:4" if quality >= MIN_FULL_CHROMA_QUALITY else "4:2:0"
    try:
        picture.save(file, "JPEG", quality=quality, subsampling=sampling, optimize=effort is Effort.BALANCED)
    except OSError:
        return None
    return file.getvalue()
