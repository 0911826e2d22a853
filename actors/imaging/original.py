"""The rule "never worse": when the source's own encoded picture may be handed on instead of a larger result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.imaging.colour import is_srgb
from actors.imaging.containers import avif, gif, jpeg, png, webp
from actors.imaging.fitting import fits
from actors.imaging.formats import SourceFormat
from actors.imaging.transform import orientation

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.libvips import VipsImage
    from actors.imaging.output_plan import OutputPlan
    from actors.imaging.source import Source

_STRIPPERS: dict[SourceFormat, Callable[[bytes], bytes]] = {
    SourceFormat.JPEG: jpeg.without_metadata,
    SourceFormat.PNG: png.without_metadata,
    SourceFormat.GIF: gif.without_metadata,
    SourceFormat.WEBP: webp.without_metadata,
}
_METADATA = ("exif-data", "xmp-data", "iptc-data", "photoshop-data", "image-description")


def is_kept(original: bytes, result: bytes, plan: OutputPlan) -> bool:
    """Return whether the original is kept: the result is not smaller, or has lost the movement of an animation."""
    return (len(result) >= len(original) or plan.loses_frames) and fits(original, plan.options)


def reusable(source: Source, image: VipsImage, *, keep_metadata: bool) -> bytes | None:
    """Return the source's encoded picture, untouched, in a file that keeps the promises of every output.

    The promises are an upright picture, in sRGB without a profile, and no metadata unless it was asked for. A picture
    that must be turned or converted is therefore not reusable. Metadata is cut out of the file without encoding the
    picture again. An AVIF or a TIFF with metadata is not reusable, because it cannot be cut out there. Neither is a
    TIFF that begins with a thumbnail, because many viewers show only that.

    Args:
        source: The source, for an output of its own format and size.
        image: The source as libvips opened it.
        keep_metadata: Whether EXIF, XMP and IPTC were asked for.

    Returns:
        None when there is no such file.
    """
    data = source.data
    if source.header.page != 0 or orientation(image) != 1 or image.interpretation == "cmyk":
        return None
    if keep_metadata:
        return data  # with its profile
    if not is_srgb(image):
        return None
    if source.format in _STRIPPERS:
        return _STRIPPERS[source.format](data)
    if source.format is SourceFormat.AVIF and not avif.is_picture_only(data):
        return None
    return None if any(image.get_typeof(field) for field in _METADATA) else data
