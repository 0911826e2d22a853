"""The boxes of an AVIF. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (`ispe`), AV1 Image File Format 1.1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from actors.imaging.header import Header, bounded, corrupt, unpack
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOX_BYTES = 8
_LARGE_BOX_BYTES = 16
_PICTURE = frozenset({b"ftyp", b"meta", b"mdat"})
_SPATIAL_EXTENTS = re.compile(rb"ispe")


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, start and end of each box of the file's top level."""
    at = 0
    while at + _BOX_BYTES <= len(data):
        size, kind = unpack(">I4s", data, at)
        if size == 1:
            size = max(_LARGE_BOX_BYTES, unpack(">Q", data, at + _BOX_BYTES)[0])
        end = len(data) if size == 0 else at + max(_BOX_BYTES, size)
        yield kind, at, min(end, len(data))
        at = end


def read_header(data: bytes) -> Header:
    """Read the largest size that the file gives to any of its pictures. libheif refuses to decode a larger one.

    Every `ispe` in a `meta` box counts, wherever it stands. A decoder never looks at more of them.

    Raises:
        ImageError: `corrupt_image`, or `unsupported_format` for an image sequence without a still picture.
    """
    width = height = 0
    for kind, start, end in bounded(_boxes(data)):
        if kind == b"mini":  # its size is in bit fields, and no encoder in use writes it yet
            raise _no_still_picture()
        if kind == b"meta":
            for found in bounded(_SPATIAL_EXTENTS.finditer(data, start, end)):
                extents = unpack(">II", data, found.end() + 4)
                width, height = max(width, extents[0]), max(height, extents[1])
    if data and not width:
        if b"moov" in data:
            raise _no_still_picture()
        raise corrupt("it has no picture in it")
    return Header(width=width, height=height, is_buffered=True)


def is_picture_only(data: bytes) -> bool:
    """Return whether the file has only the picture and its description: no video, and no bytes behind the end."""
    end = 0
    for kind, start, box_end in bounded(_boxes(data)):
        if kind not in _PICTURE or start != end:
            return False
        end = box_end
    return end == len(data)


def _no_still_picture() -> ImageError:
    message = "The file is an AVIF without a still picture, which is not supported. Use a still image."
    return ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, message)
