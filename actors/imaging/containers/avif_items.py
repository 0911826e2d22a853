"""The items of an AVIF: how many pixels are decoded to make its picture.

A picture may be made of others: of the tiles of a grid, the layers of an overlay, and an alpha channel. One tile may
stand in a grid hundreds of times, and is decoded each time. The data of a coded picture may hold hidden frames, and all
of them are decoded. Sources: ISO/IEC 14496-12 (`iloc`, `iref`), ISO/IEC 23008-12 (`ipma`, `ispe`), AV1 bitstream
specification, section 5.3 (OBU).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from actors.imaging.header import bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOX_BYTES = 8
_LARGE_BOX_BYTES = 16
_FULL_BOX_BYTES = 4  # version and flags
_MIN_SIDE_PIXELS = 128  # of a superblock; libheif lets a picture be larger than it says by one
_MAX_DEPTH = 8  # of pictures that are made of others; a grid with alpha has two
_FRAME_OBUS = frozenset({3, 6})  # a frame header, and a whole frame
_FORBIDDEN_BIT, _HAS_EXTENSION, _HAS_SIZE = 0x80, 0x04, 0x02  # of an OBU's head
_IN_FILE, _IN_IDAT = 0, 1  # the places of an item's data


@dataclass(frozen=True, slots=True)
class Box:
    """A box. `start` is the position of its payload."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """Yield the boxes of a range. No box reaches beyond the range."""
    while at + _BOX_BYTES <= end:
        size, kind = unpack(">I4s", data, at)
        head = _BOX_BYTES
        if size == 1:
            head, size = _LARGE_BOX_BYTES, unpack(">Q", data, at + _BOX_BYTES)[0]
        following = end if size == 0 else min(at + max(head, size), end)
        yield Box(kind, at + head, following)
        at = following


@dataclass(slots=True)
class _Item:
    """A picture of the file, or any other item."""

    pixels: int = 0  # of its `ispe`; a decoder takes no picture without one
    parts: list[int] = field(default_factory=list)  # the items that it is made of, and its alpha
    is_derived: bool = False  # is made of its parts alone
    extents: list[tuple[int, int]] = field(default_factory=list)  # the start and end of its data in the file

    @property
    def is_coded(self) -> bool:
        return self.pixels > 0 and not self.is_derived


@dataclass(slots=True)
class _Reader:
    """Reads numbers of any size one after the other. Raises `corrupt_image` at the end of the file."""

    data: bytes
    at: int

    def number(self, size_bytes: int) -> int:
        end = self.at + size_bytes
        if end > len(self.data):
            raise corrupt("it ends too early")
        value = int.from_bytes(self.data[self.at : end], "big")
        self.at = end
        return value


def decoded_pixels(data: bytes, metas: Iterable[Box]) -> int:
    """Return the pixels that are decoded for the costliest picture of the file. 0 means that it has no pictures.

    Args:
        data: The file.
        metas: Its `meta` boxes.

    Raises:
        ImageError: `corrupt_image`.
    """
    items: defaultdict[int, _Item] = defaultdict(_Item)
    for meta in metas:
        _read_meta(data, meta, items)
    coded = {number: item for number, item in items.items() if item.is_coded}
    obus = bounded(chain.from_iterable(_obus(data, number, item) for number, item in coded.items()))
    frames = Counter(number for number, kind in obus if kind in _FRAME_OBUS)
    own = {number: item.pixels * max(1, frames[number]) for number, item in coded.items()}
    costs: dict[int, int] = {}
    return max((_cost(number, items, own, costs) for number in list(items)), default=0)


def _cost(number: int, items: dict[int, _Item], own: dict[int, int], costs: dict[int, int], depth: int = 0) -> int:
    """Return the pixels of an item and of all its parts."""
    if depth > _MAX_DEPTH:
        raise corrupt("its pictures are made of each other")
    if number not in costs:
        parts = items[number].parts if number in items else []
        costs[number] = own.get(number, 0) + sum(_cost(part, items, own, costs, depth + 1) for part in parts)
    return costs[number]


def _read_meta(data: bytes, meta: Box, items: defaultdict[int, _Item]) -> None:
    children = list(bounded(boxes(data, meta.start + _FULL_BOX_BYTES, meta.end)))
    idat = next((box.start for box in children if box.kind == b"idat"), 0)
    for box in children:
        if box.kind == b"iprp":
            _read_properties(data, box, items)
        elif box.kind == b"iref":
            _read_references(data, box, items)
        elif box.kind == b"iloc":
            _read_locations(data, box, idat, items)


def _read_properties(data: bytes, iprp: Box, items: defaultdict[int, _Item]) -> None:
    children = list(bounded(boxes(data, iprp.start, iprp.end)))
    containers = (bounded(boxes(data, each.start, each.end)) for each in children if each.kind == b"ipco")
    pixels = [_pixels(data, each) for each in chain.from_iterable(containers)]
    tables = (_associations(data, each) for each in children if each.kind == b"ipma")
    for number, index in bounded(chain.from_iterable(tables)):
        if 0 < index <= len(pixels):
            items[number].pixels = max(items[number].pixels, pixels[index - 1])


def _pixels(data: bytes, box: Box) -> int:
    """Return the pixels that a property gives, or 0 if it is another property."""
    if box.kind != b"ispe":
        return 0
    width, height = unpack(">II", data, box.start + _FULL_BOX_BYTES)
    return int(max(width, _MIN_SIDE_PIXELS) * max(height, _MIN_SIDE_PIXELS))


def _associations(data: bytes, ipma: Box) -> Iterator[tuple[int, int]]:
    """Yield the number of an item and the index of a property, counted from 1. 0 is no property."""
    reader = _Reader(data, ipma.start)
    head = reader.number(_FULL_BOX_BYTES)
    number_bytes = 4 if head >> 24 else 2
    index_bytes, mask = (2, 0x7FFF) if head & 1 else (1, 0x7F)
    for _ in range(reader.number(4)):
        number = reader.number(number_bytes)
        for _ in range(reader.number(1)):
            yield number, reader.number(index_bytes) & mask


def _read_references(data: bytes, iref: Box, items: defaultdict[int, _Item]) -> None:
    number_bytes = 4 if unpack("B", data, iref.start)[0] else 2
    for box in bounded(boxes(data, iref.start + _FULL_BOX_BYTES, iref.end)):
        reader = _Reader(data, box.start)
        number, count = reader.number(number_bytes), reader.number(2)
        targets = [reader.number(number_bytes) for _ in range(count)]
        if box.kind == b"dimg":
            items[number].is_derived = True
            items[number].parts += targets
        elif box.kind == b"auxl":  # from the alpha to its picture
            for target in targets:
                items[target].parts.append(number)


def _read_locations(data: bytes, iloc: Box, idat: int, items: defaultdict[int, _Item]) -> None:
    reader = _Reader(data, iloc.start)
    version = reader.number(_FULL_BOX_BYTES) >> 24
    sizes = reader.number(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 0xF for shift in (12, 8, 4, 0))
    number_bytes = 4 if version > 1 else 2
    for _ in range(reader.number(number_bytes)):
        number = reader.number(number_bytes)
        method = reader.number(2) & 0xF if version else _IN_FILE
        if method not in (_IN_FILE, _IN_IDAT):
            raise corrupt("its data is inside of other data")
        reader.number(2)  # the file; only this one is read
        base = reader.number(base_bytes) + (idat if method == _IN_IDAT else 0)
        for _ in range(reader.number(2)):
            reader.number(index_bytes if version else 0)
            start = base + reader.number(offset_bytes)
            items[number].extents.append((start, start + reader.number(length_bytes)))


def _obus(data: bytes, number: int, item: _Item) -> Iterator[tuple[int, int]]:
    """Yield the number of an item with the kind of each OBU in its data."""
    if sum(max(0, min(end, len(data)) - start) for start, end in item.extents) > len(data):
        raise corrupt("its data overlaps")
    coded = b"".join(data[start:end] for start, end in item.extents)
    at = 0
    while at < len(coded) and not coded[at] & _FORBIDDEN_BIT:
        head = coded[at]
        at += 2 if head & _HAS_EXTENSION else 1
        size, at = _leb128(coded, at) if head & _HAS_SIZE else (len(coded), at)
        yield number, head >> 3 & 0xF
        at += size


def _leb128(coded: bytes, at: int) -> tuple[int, int]:
    """Return a number of the AV1 format, and the position behind it."""
    value = 0
    for place, byte in enumerate(coded[at : at + 8]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the bit that tells that another byte follows
            return value, at + place + 1
    return value, at + 8
