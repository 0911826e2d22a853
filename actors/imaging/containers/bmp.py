"""BMP, by its information header. Source: Microsoft, "Bitmap Header Types"; IBM, "OS/2 bitmap"."""

from __future__ import annotations

from actors.imaging.header import Header, corrupt, unpack

_CORE_HEADER_BYTES = 12
_MAX_PIXEL_BYTES = 4  # of any coding; run lengths take two
_MAX_PADDING_PIXELS = 4  # of a row
_MAX_OTHER_BYTES = 1024 * 1024  # headers, palette and profile


def read_header(data: bytes) -> Header:
    """The size; a negative height means that the rows go from top to bottom.

    Raises:
        ImageError: `corrupt_image`; also for run lengths that go on behind the last pixel, because Pillow follows them.
    """
    is_core = unpack("<I", data, 14)[0] == _CORE_HEADER_BYTES
    width, height = unpack("<HH" if is_core else "<ii", data, 18)
    height = abs(height)
    if len(data) > _MAX_PIXEL_BYTES * (width + _MAX_PADDING_PIXELS) * height + _MAX_OTHER_BYTES:
        raise corrupt("it has more data than pixels")
    return Header(width=width, height=height, is_buffered=True)
