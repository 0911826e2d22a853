"""The boxes of an AVIF. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (`ispe`), AV1 Image File Format 1.1."""

from __future__ import annotations

import re
from itertools import chain

from actors.imaging.containers.avif_items import Box, boxes, decoded_pixels
from actors.imaging.header import Header, bounded, corrupt, unpack
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

_PICTURE = frozenset({b"ftyp", b"meta", b"mdat"})
_SPATIAL_EXTENTS = re.compile(rb"ispe")


def read_header(data: bytes) -> Header:
    """Read the largest size that the file gives to any of its pictures. libheif refuses to decode a larger one.

    Every `ispe` in a `meta` box counts, wherever it stands. A decoder never looks at more of them. The pixels of all
    pictures that make one are counted, too.

    Raises:
        ImageError: `corrupt_image`, or `unsupported_format` for an image sequence without a still picture.
    """
    width = height = 0
    metas: list[Box] = []
    for box in bounded(boxes(data, 0, len(data))):
        if box.kind == b"mini":  # its size is in bit fields, and no encoder in use writes it yet
            raise _no_still_picture()
        if box.kind == b"meta":
            metas.append(box)
    found = (_SPATIAL_EXTENTS.finditer(data, box.start, box.end) for box in metas)
    for each in bounded(chain.from_iterable(found)):
        extents = unpack(">II", data, each.end() + 4)
        width, height = max(width, extents[0]), max(height, extents[1])
    if data and not width:
        if b"moov" in data:
            raise _no_still_picture()
        raise corrupt("it has no picture in it")
    return Header(width=width, height=height, is_buffered=True, decoded_pixels=decoded_pixels(data, metas))


def is_picture_only(data: bytes) -> bool:
    """Return whether the file has only the picture and its description: no video, and no bytes behind the end."""
    end = 0
    for box in bounded(boxes(data, 0, len(data))):
        if box.kind not in _PICTURE:
            return False
        end = box.end
    return end == len(data)


def _no_still_picture() -> ImageError:
    message = "The file is an AVIF without a still picture, which is not supported. Use a still image."
    return ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, message)
