"""BMP, by its information header. Source: Microsoft, "Bitmap Header Types"; IBM, "OS/2 bitmap"."""

from __future__ import annotations

from actors.imaging.header import Header, unpack

_CORE_HEADER_BYTES = 12


def read_header(data: bytes) -> Header:
    """The size; a negative height means that the rows go from top to bottom.

    Raises:
        ImageError: `corrupt_image`.
    """
    is_core = unpack("<I", data, 14)[0] == _CORE_HEADER_BYTES
    width, height = unpack("<HH" if is_core else "<ii", data, 18)
    return Header(width=width, height=abs(height))
