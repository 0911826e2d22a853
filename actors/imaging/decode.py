"""Decoding: the loader follows from the identified format, never from libvips' own search.

The plain JPEG loader also reads a JPEG with a gain map. It leaves the picture that every screen can show.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

from PIL import Image as Pillow

from actors.imaging.formats import SourceFormat
from actors.imaging.libvips import VipsImage, pyvips
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

_ALL_PAGES = -1

warnings.simplefilter("error", Pillow.DecompressionBombWarning)


def decode(
    data: bytes,
    source: SourceFormat,
    *,
    all_frames: bool = False,
    shrink: int = 1,
    in_memory: bool = False,
    page: int = 0,
) -> VipsImage:
    """Open a file as a pyvips image. It is decoded while it is read, once and from top to bottom.

    Args:
        data: The file, which has passed the gate.
        source: Its format.
        all_frames: Whether to load all frames of a GIF or WebP, below one another, or only the first.
        shrink: The factor by which a JPEG decoder shrinks: 1, 2, 4 or 8. Other formats ignore it.
        in_memory: Whether to decode now, so that the pixels may be read in any order. By itself libvips would put
            large pictures into a file.
        page: The page of a TIFF to load, counted from 0. Other formats ignore it.

    Raises:
        ImageError: The picture cannot be decoded. It may also show later, as `pyvips.Error`.
    """
    if source is SourceFormat.BMP:
        return _decode_by_pillow(data, "BMP")
    arguments: dict[str, Any] = {"fail_on": "error", "access": "sequential"}
    if source is SourceFormat.JPEG:
        arguments["shrink"] = shrink
    if source is SourceFormat.TIFF:
        arguments["page"] = page
    if all_frames:
        arguments["n"] = _ALL_PAGES
    try:
        loader = getattr(pyvips.Image, _LOADERS[source])
        image = loader(data, **arguments)
        return image.copy_memory() if in_memory else image
    except pyvips.Error as error:
        raise damaged() from error


_LOADERS = {
    SourceFormat.JPEG: "jpegload_buffer",
    SourceFormat.PNG: "pngload_buffer",
    SourceFormat.GIF: "gifload_buffer",
    SourceFormat.WEBP: "webpload_buffer",
    SourceFormat.AVIF: "heifload_buffer",
    SourceFormat.TIFF: "tiffload_buffer",
}


def _decode_by_pillow(data: bytes, pillow_format: str) -> VipsImage:
    try:
        with Pillow.open(BytesIO(data), formats=[pillow_format]) as picture:
            mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(picture.mode, "RGB")
            pixels = picture.convert(mode)
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise ImageError(ImageErrorCode.TOO_MANY_PIXELS, "The image has too many pixels. Make it smaller.") from error
    except Exception as error:  # Pillow's decoders raise exceptions of any kind
        raise damaged() from error
    image = pyvips.Image.new_from_memory(pixels.tobytes(), *pixels.size, len(mode), "uchar")
    return image.copy(interpretation="b-w" if mode == "L" else "srgb")


def is_decodable(data: bytes, source: SourceFormat, *, all_frames: bool, page: int) -> bool:
    """Return whether every pixel can be decoded. This tells a damaged source from a failed encoder."""
    try:
        decode(data, source, all_frames=all_frames, page=page).avg()
    except (ImageError, pyvips.Error):
        return False
    return True


def damaged() -> ImageError:
    """Return the error for a file that the decoder cannot decode."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, "The image is damaged or incomplete. Replace the file.")
