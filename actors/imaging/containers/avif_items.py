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
from typing import TYPE_CHECKING, TypeAlias

from actors.imaging.header import bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOX_BYTES = 8
_LARGE_BOX_BYTES = 16
_FULL_BOX_BYTES = 4  # version and flags
_CONFIGURATION_BYTES = 4  # before the OBUs of `av1C`
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


Place: TypeAlias = tuple[tuple[int, int], ...]
"""The start and end of each part of an item's data in the file."""


@dataclass(slots=True)
class _Item:
    """A picture of the file, or any other item."""

    pixels: int = 0  # of its `ispe`; a decoder takes no picture without one
    parts: list[int] = field(default_factory=list)  # the items that it is made of, and its alpha
    is_derived: bool = False  # is made of other items, unless it has frames all the same
    extents: list[tuple[int, int]] = field(default_factory=list)  # the start and end of its data in the file

    @property
    def place(self) -> Place:
        return tuple(self.extents)

    def own_pixels(self, frames: int) -> int:
        """Return the pixels of its own data. That of a derived item begins with a 0, which begins no frame."""
        return self.pixels * (frames if self.is_derived else max(1, frames))


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
    for _ in bounded(chain.from_iterable(_steps(data, meta, items) for meta in metas)):
        pass
    frames = _frames(data, {item.place for item in items.values() if item.pixels})
    own = {number: item.own_pixels(frames[item.place]) for number, item in items.items()}
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


def _steps(data: bytes, meta: Box, items: defaultdict[int, _Item]) -> Iterator[None]:
    """Read what the file tells of its items. Each step is one entry of a table, or one box."""
    children: list[Box] = []
    for box in boxes(data, meta.start + _FULL_BOX_BYTES, meta.end):
        children.append(box)
        yield
    idat = next((box.start for box in children if box.kind == b"idat"), 0)
    for box in children:
        if box.kind == b"iprp":
            yield from _read_properties(data, box, items)
        elif box.kind == b"iref":
            yield from _read_references(data, box, items)
        elif box.kind == b"iloc":
            yield from _read_locations(data, box, idat, items)


def _read_properties(data: bytes, iprp: Box, items: defaultdict[int, _Item]) -> Iterator[None]:
    children: list[Box] = []
    for box in boxes(data, iprp.start, iprp.end):
        children.append(box)
        yield
    pixels: list[int] = []
    for container in (each for each in children if each.kind == b"ipco"):
        for box in boxes(data, container.start, container.end):
            pixels.append(_pixels(data, box))
            yield
            if box.kind == b"av1C":
                yield from _check_configuration(data, box)
    for table in (each for each in children if each.kind == b"ipma"):
        for number, index in _associations(data, table):
            yield
            if 0 < index <= len(pixels):
                items[number].pixels = max(items[number].pixels, pixels[index - 1])


def _pixels(data: bytes, box: Box) -> int:
    """Return the pixels that a property gives, or 0 if it is another property."""
    if box.kind != b"ispe":
        return 0
    width, height = unpack(">II", data, box.start + _FULL_BOX_BYTES)
    return int(max(width, _MIN_SIDE_PIXELS) * max(height, _MIN_SIDE_PIXELS))


def _check_configuration(data: bytes, box: Box) -> Iterator[None]:
    """Refuse frames that stand before the data of every picture with this configuration."""
    for kind in _obus(data, ((box.start + _CONFIGURATION_BYTES, box.end),)):
        yield
        if kind in _FRAME_OBUS:
            raise corrupt("its configuration has frames")


def _associations(data: bytes, ipma: Box) -> Iterator[tuple[int, int]]:
    """Yield the number of an item and the index of a property, counted from 1. 0 is no property."""
    reader = _Reader(data, ipma.start)
    head = reader.number(_FULL_BOX_BYTES)
    number_bytes = 4 if head >> 24 else 2
    index_bytes, mask = (2, 0x7FFF) if head & 1 else (1, 0x7F)
    for _ in range(reader.number(4)):
        number = reader.number(number_bytes)
        yield number, 0
        for _ in range(reader.number(1)):
            yield number, reader.number(index_bytes) & mask


def _read_references(data: bytes, iref: Box, items: defaultdict[int, _Item]) -> Iterator[None]:
    number_bytes = 4 if unpack("B", data, iref.start)[0] else 2
    for box in boxes(data, iref.start + _FULL_BOX_BYTES, iref.end):
        reader = _Reader(data, box.start)
        number, count = reader.number(number_bytes), reader.number(2)
        for _ in range(count):
            yield
            target = reader.number(number_bytes)
            if box.kind == b"dimg":
                items[number].is_derived = True
                items[number].parts.append(target)
            elif box.kind == b"auxl":  # from the alpha to its picture
                items[target].parts.append(number)
        yield


def _read_locations(data: bytes, iloc: Box, idat: int, items: defaultdict[int, _Item]) -> Iterator[None]:
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
        yield
        for _ in range(reader.number(2)):
            yield
            reader.number(index_bytes if version else 0)
            start = base + reader.number(offset_bytes)
            items[number].extents.append((start, start + reader.number(length_bytes)))


def _frames(data: bytes, places: Iterable[Place]) -> Counter[Place]:
    """Return the number of frames at each place. Pictures may share a place, but places may not overlap."""
    if sum(max(0, min(end, len(data)) - start) for start, end in chain.from_iterable(places)) > len(data):
        raise corrupt("its data overlaps")
    obus = bounded((place, kind) for place in places for kind in _obus(data, place))
    return Counter(place for place, kind in obus if kind in _FRAME_OBUS)


def _obus(data: bytes, place: Place) -> Iterator[int]:
    """Yield the kind of each OBU."""
    coded = b"".join(data[start:end] for start, end in place)
    at = 0
    while at < len(coded) and not coded[at] & _FORBIDDEN_BIT:
        head = coded[at]
        at += 2 if head & _HAS_EXTENSION else 1
        size, at = _leb128(coded, at) if head & _HAS_SIZE else (len(coded), at)
        yield head >> 3 & 0xF
        at += size


def _leb128(coded: bytes, at: int) -> tuple[int, int]:
    """Return a number of the AV1 format, and the position behind it."""
    value = 0
    for place, byte in enumerate(coded[at : at + 8]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the bit that tells that another byte follows
            return value, at + place + 1
    return value, at + 8
