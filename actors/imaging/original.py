"""Never worse: whether the source's own coded picture may be handed on instead of a larger result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.imaging.colour import is_srgb
from actors.imaging.containers import avif, gif, jpeg, png, webp
from actors.imaging.formats import SourceFormat
from actors.imaging.transform import orientation

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.libvips import VipsImage

_STRIPPERS: dict[SourceFormat, Callable[[bytes], bytes]] = {
    SourceFormat.JPEG: jpeg.without_metadata,
    SourceFormat.PNG: png.without_metadata,
    SourceFormat.GIF: gif.without_metadata,
    SourceFormat.WEBP: webp.without_metadata,
}
_METADATA = ("exif-data", "xmp-data", "iptc-data", "photoshop-data", "image-description")


def reusable(data: bytes, source: SourceFormat, image: VipsImage, *, keep_metadata: bool) -> bytes | None:
    """The source's coded picture, untouched, in a file that keeps our promises; None when there is no such file.

    The promises are that the picture is upright and sRGB without a profile, and that metadata is gone unless it was
    asked for. So a picture that must be turned or converted is not reusable. Metadata is cut out of the file without
    coding the picture again; where we cannot do that (AVIF, TIFF), a file with metadata is not reusable either.

    Args:
        data: The source, which is to be written in its own format and size.
        source: Its format.
        image: The source as it was opened.
        keep_metadata: Whether EXIF, XMP and IPTC were asked for.
    """
    if orientation(image) != 1 or image.interpretation == "cmyk":
        return None
    if keep_metadata:
        return data  # with its profile
    if not is_srgb(image):
        return None
    if source in _STRIPPERS:
        return _STRIPPERS[source](data)
    if source is SourceFormat.AVIF and not avif.is_picture_only(data):
        return None
    return None if any(image.get_typeof(field) for field in _METADATA) else data
