"""The first directory of a TIFF or BigTIFF. Sources: Adobe, "TIFF, revision 6.0", and libtiff, "BigTIFF"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.imaging.header import MAX_BLOCKS, Header, corrupt, unpack
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BIG = 43  # the version of BigTIFF
_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 277, 322, 323
_TAGS = frozenset({_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT})
_LAYOUTS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # the field types that these tags use
_LOSSY_COMPRESSIONS = frozenset({6, 7, 34892, 50001, 50002, 52546})  # JPEG (old, new, DNG), WebP, JPEG XL
_MAX_SAMPLES = 8  # CMYK, alpha and a few spot colours
_MAX_TILE_SIDE_PIXELS = 4096  # the limit where the image is smaller than that


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the tag and value of the fields that matter."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = unpack(order + "H", data, 2)[0] == _BIG
    offset, counter, entry_bytes, value_at = ("Q", "Q", 20, 12) if is_big else ("I", "H", 12, 8)
    directory = unpack(order + offset, data, 8 if is_big else 4)[0]
    count = unpack(order + counter, data, directory)[0]
    if count > MAX_BLOCKS:
        raise corrupt("its directory is too long")
    first = directory + (8 if is_big else 2)
    for at in range(first, first + count * entry_bytes, entry_bytes):
        tag, kind = unpack(order + "HH", data, at)
        if tag in _TAGS and kind in _LAYOUTS:
            yield tag, unpack(order + _LAYOUTS[kind], data, at + value_at)[0]


def read_header(data: bytes) -> Header:
    """Read the size of the first page, the only one that is read.

    Raises:
        ImageError: `corrupt_image`, or `unsupported_format` for more than 8 samples a pixel.
    """
    fields: dict[int, int] = {}
    for tag, value in _entries(data):
        fields[tag] = max(value, fields.get(tag, 0))  # a decoder may take either of two
    width, height = fields.get(_WIDTH, 0), fields.get(_HEIGHT, 0)
    if fields.get(_TILE_WIDTH, 0) > max(width, _MAX_TILE_SIDE_PIXELS):
        raise corrupt("its tiles are wider than the picture")
    if fields.get(_TILE_HEIGHT, 0) > max(height, _MAX_TILE_SIDE_PIXELS):
        raise corrupt("its tiles are higher than the picture")
    if fields.get(_SAMPLES, 1) > _MAX_SAMPLES:
        found = f"The image is a TIFF with {fields[_SAMPLES]:,} channels, over the limit of {_MAX_SAMPLES}."
        message = f"{found} Save it as RGB or CMYK."
        raise ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, message)
    return Header(width=width, height=height, lossless=fields.get(_COMPRESSION, 1) not in _LOSSY_COMPRESSIONS)
