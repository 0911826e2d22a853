"""Decoding: the loader is chosen by the format that was identified, never by libvips' own search.

A JPEG with a gain map is read by the plain JPEG loader: what remains is the picture that every screen can show.
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

_ANIMATED = frozenset({SourceFormat.GIF, SourceFormat.WEBP})
_ALL_PAGES = -1
_DAMAGED = "The image is damaged or incomplete."

warnings.simplefilter("error", Pillow.DecompressionBombWarning)


def decode(
    data: bytes,
    source: SourceFormat,
    *,
    all_frames: bool = False,
    shrink: int = 1,
    in_memory: bool = False,
) -> VipsImage:
    """The picture as a pyvips image, which decodes while it is read: from top to bottom, and once.

    Args:
        data: The file, past the gate.
        source: Its format.
        all_frames: Load an animation whole, its frames below one another, and not only its first frame.
        shrink: 1, 2, 4 or 8: let the JPEG decoder leave out that much; other formats ignore it.
        in_memory: Decode now and allow to read it in any order; libvips alone would use a file for large ones.

    Raises:
        ImageError: The picture cannot be decoded; it may also show later, as `pyvips.Error`.
    """
    if source is SourceFormat.BMP:
        return _decode_by_pillow(data, "BMP")
    arguments: dict[str, Any] = {"fail_on": "error", "access": "sequential"}
    if source is SourceFormat.JPEG:
        arguments["shrink"] = shrink
    if all_frames and source in _ANIMATED:
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
        raise ImageError(ImageErrorCode.TOO_MANY_PIXELS, "The image has too many pixels.") from error
    except Exception as error:  # Pillow's decoders raise whatever broke in them
        raise damaged() from error
    image = pyvips.Image.new_from_memory(pixels.tobytes(), *pixels.size, len(mode), "uchar")
    return image.copy(interpretation="b-w" if mode == "L" else "srgb")


def is_decodable(data: bytes, source: SourceFormat, *, all_frames: bool) -> bool:
    """Whether every pixel can be decoded: tells a damaged source from an encoder that failed."""
    try:
        decode(data, source, all_frames=all_frames).avg()
    except (ImageError, pyvips.Error):
        return False
    return True


def damaged() -> ImageError:
    """The error of a picture that a decoder gave up on."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, _DAMAGED)
