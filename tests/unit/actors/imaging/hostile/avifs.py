"""AVIFs that lie. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items, grids, overlays), AV1 in HEIF."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

from tests.unit.actors.imaging.hostile.case import (
    CORRUPT,
    KEPT_ONLY,
    PIXELS,
    READABLE,
    SHRUNK_ONLY,
    UNSUPPORTED,
    Hostile,
    ends,
)
from tests.unit.actors.imaging.pictures import photo, save

HUGE = 2**32 - 1
MAX_REFERENCES = 65_535
SIDE = 64  # the side of the only coded picture
TILE = (1, 2)  # the properties, counted from 1: the coding, the size of a tile, the size of the whole
WHOLE = (3,)


def box(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(payload) if size is None else size) + kind + payload


def full(kind: bytes, payload: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + payload)


@dataclass(frozen=True, slots=True)
class Item:
    """A picture of the file, either coded (`av01`) or made of other pictures. The place of its bytes may be a lie."""

    kind: bytes
    data: bytes
    properties: tuple[int, ...]
    offset: int | None = None
    length: int | None = None


@cache
def coded(side: int = SIDE) -> tuple[bytes, bytes]:
    """Return the AV1 data of a picture, and its configuration box."""
    source = save(photo(side, side), "AVIF", quality=10)
    at = source.index(b"av1C") - 4
    return source[source.index(b"mdat") + 4 :], source[at : at + int.from_bytes(source[at : at + 4], "big")]


def extents(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def file_type(*brands: bytes) -> bytes:
    return box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf" + b"".join(brands))


def references(kind: bytes, source: int, targets: list[int]) -> bytes:
    return box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))


def _locations(items: list[Item], start: int) -> bytes:
    packed = struct.pack(">HH", 0x4400, len(items))
    for number, item in enumerate(items, 1):
        offset = start if item.offset is None else item.offset
        packed += struct.pack(">HHHII", number, 0, 1, offset, len(item.data) if item.length is None else item.length)
        start += len(item.data)
    return full(b"iloc", packed)


def avif(items: list[Item], properties: list[bytes], links: bytes = b"", more: bytes = b"", first: int = 1) -> bytes:
    """Build a file whose primary item is the first one."""
    infos = b"".join(
        full(b"infe", struct.pack(">HH", number, 0) + item.kind + b"\0", version=2)
        for number, item in enumerate(items, 1)
    )
    used = b"".join(
        struct.pack(">HB", number, len(item.properties)) + bytes(item.properties)
        for number, item in enumerate(items, 1)
    )
    iprp = box(b"iprp", box(b"ipco", b"".join(properties)) + full(b"ipma", struct.pack(">I", len(items)) + used))
    body = full(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full(b"pitm", struct.pack(">H", first))
    body += full(b"iinf", struct.pack(">H", len(items)) + infos) + iprp + more
    body += full(b"iref", links) if links else b""
    start = len(file_type()) + 12 + len(body) + len(_locations(items, 0)) + 8
    meta = full(b"meta", body + _locations(items, start))
    return file_type() + meta + box(b"mdat", b"".join(item.data for item in items))


def still(width: int = SIDE, height: int = SIDE, *more: bytes, uses: tuple[int, ...] = (), **where: int) -> bytes:
    """Build a file of the coded picture that claims a size and has further properties."""
    data, configuration = coded()
    item = Item(b"av01", data, (1, 2, *uses), where.get("offset"), where.get("length"))
    return avif([item], [configuration, extents(width, height), *more])


def grid(
    columns: int, rows: int, width: int, height: int, *, tile: int = SIDE, targets: list[int] | None = None
) -> bytes:
    """Build a grid of the same picture, side by side."""
    data, configuration = coded(tile)
    layout = struct.pack(">BBBBII", 0, 1, (rows - 1) & 0xFF, (columns - 1) & 0xFF, width, height)
    items = [Item(b"grid", layout, WHOLE), Item(b"av01", data, TILE)]
    links = references(b"dimg", 1, [2] * (columns * rows) if targets is None else targets)
    return avif(items, [configuration, extents(tile, tile), extents(width, height)], links)


def repeated(frames: int) -> bytes:
    """Build a file of one picture with many frames. The decoder decodes them all, and shows one."""
    data, configuration = coded(1_024)
    return avif([Item(b"av01", data * frames, TILE)], [configuration, extents(1_024, 1_024)])


def derived(kind: bytes, data: bytes, targets: list[int], width: int = SIDE, height: int = SIDE) -> bytes:
    picture, configuration = coded()
    items = [Item(kind, data, WHOLE), Item(b"av01", picture, TILE)]
    properties = [configuration, extents(SIDE, SIDE), extents(width, height)]
    return avif(items, properties, references(b"dimg", 1, targets))


def overlay(width: int, height: int, layers: int) -> bytes:
    data = struct.pack(">BB4HII", 0, 1, 0, 0, 0, 0, width, height) + bytes(8 * layers)
    return derived(b"iovl", data, [2] * layers, width, height)


def two_grids_of_each_other() -> bytes:
    data, configuration = coded()
    layout = struct.pack(">BBBBII", 0, 1, 0, 0, SIDE, SIDE)
    links = references(b"dimg", 1, [2]) + references(b"dimg", 2, [1])
    items = [Item(b"grid", layout, TILE), Item(b"grid", layout, TILE), Item(b"av01", data, TILE)]
    return avif(items, [configuration, extents(SIDE, SIDE)], links)


def auxiliary(kind: bytes, source: int, target: int) -> bytes:
    """Build a file with a second picture, as alpha or thumbnail, that points to a wrong picture."""
    data, configuration = coded()
    means = full(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    items = [Item(b"av01", data, TILE), Item(b"av01", data, (1, 2, 3))]
    return avif(items, [configuration, extents(SIDE, SIDE), means], references(kind, source, [target]))


def many_items(count: int) -> bytes:
    data, configuration = coded()
    items = [Item(b"av01", data, TILE), *([Item(b"av01", b"", TILE)] * count)]
    return avif(items, [configuration, extents(SIDE, SIDE)])


def counted(kind: bytes, count: int) -> bytes:
    """Build a file whose table claims more entries than it has."""
    source = bytearray(still())
    at = source.index(kind) + 8 + (2 if kind == b"iloc" else 0)
    source[at : at + 2] = struct.pack(">H", count)
    return bytes(source)


def nested(depth: int, kind: bytes = b"ipco") -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(kind, inner)
    return still(SIDE, SIDE, inner)


def with_noise(start: int) -> bytes:
    """Build a file of AV1 data that breaks behind its first bytes."""
    data, configuration = coded()
    noisy = data[:start] + b"\xa5\x5a\xff" * 300
    return avif([Item(b"av01", noisy, TILE)], [configuration, extents(SIDE, SIDE)])


def clean_aperture(*values: int) -> bytes:
    return box(b"clap", struct.pack(">8I", *values))


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "avif that is as it should be": ends(still, READABLE),
    "avif 4 billion squared": ends(lambda: still(HUGE, HUGE), PIXELS),
    "avif 16,384 by 3,000 in 64 by 64": ends(lambda: still(16_384, 3_000), PIXELS),
    "avif 16,384 by 976 in 64 by 64": ends(lambda: still(16_384, 976), CORRUPT),
    "avif of no size": ends(lambda: still(0, 0), CORRUPT),
    "avif that says it is smaller": ends(lambda: still(8, 8), *BOTH),
    "avif with a second size, giant": ends(lambda: still(SIDE, SIDE, extents(HUGE, HUGE), uses=(3,)), PIXELS),
    "avif data beyond the end": ends(lambda: still(offset=HUGE - 9), CORRUPT),
    "avif data of 4 billion bytes": ends(lambda: still(length=HUGE), CORRUPT),
    "avif data of 0 bytes": ends(lambda: still(length=0), CORRUPT),
    "avif data that is the file's start": ends(lambda: still(offset=0), CORRUPT),
    "avif grid of 255 squared": ends(lambda: grid(255, 255, 16_320, 16_320), PIXELS),
    "avif grid of 250 by 250 tiles of 16": ends(lambda: grid(250, 250, 4_000, 4_000, tile=16), PIXELS),
    "avif grid of 109 by 109": ends(lambda: grid(109, 109, 6_976, 6_976), PIXELS),
    "avif grid of 62 by 62": ends(lambda: grid(62, 62, 3_968, 3_968), CORRUPT),
    "avif grid of 10 by 10": ends(lambda: grid(10, 10, 640, 640), *BOTH),
    "avif grid of 16 by 16": ends(lambda: grid(16, 16, 1_024, 1_024), *BOTH, ways=SHRUNK_ONLY),
    "avif grid of 31 by 31": ends(lambda: grid(31, 31, 1_984, 1_984), *BOTH),
    "avif grid of 31 by 31 tiles of 16": ends(lambda: grid(31, 31, 496, 496, tile=16), *BOTH),
    "avif grid of 255 squared that says 64 squared": ends(lambda: grid(255, 255, 64, 64), PIXELS),
    "avif grid of 49 megapixels whose tiles do not reach": ends(lambda: grid(2, 2, 7_000, 7_000), PIXELS),
    "avif grid of 16 megapixels whose tiles do not reach": ends(lambda: grid(2, 2, 4_000, 4_000), CORRUPT),
    "avif grid of 16 by 16 tiles, each as large as the whole": ends(
        lambda: grid(16, 16, 1_024, 1_024, tile=1_024), PIXELS
    ),
    "avif of 100 frames in one picture": ends(lambda: repeated(100), PIXELS),
    "avif of 9 frames in one picture": ends(lambda: repeated(9), *BOTH),
    "avif grid that lacks tiles": ends(lambda: grid(9, 9, 576, 576, targets=[2]), CORRUPT),
    "avif grid of itself": ends(lambda: grid(2, 2, 128, 128, targets=[1, 1, 1, 1]), CORRUPT),
    "avif grids of each other": ends(two_grids_of_each_other, CORRUPT),
    "avif grid of an item that is not there": ends(lambda: grid(1, 1, 64, 64, targets=[999]), CORRUPT),
    "avif identity of itself": ends(lambda: derived(b"iden", b"", [1]), CORRUPT),
    "avif identity of two": ends(lambda: derived(b"iden", b"", [2, 2]), *BOTH),
    "avif overlay of 4 billion squared": ends(lambda: overlay(HUGE, HUGE, 1), PIXELS),
    "avif overlay of 99 layers": ends(lambda: overlay(64, 64, 99), *BOTH),
    "avif overlay of 60,000 layers": ends(lambda: overlay(64, 64, 60_000), PIXELS),
    "avif overlay of 7,000 squared": ends(lambda: overlay(7_000, 7_000, 1), PIXELS),
    "avif overlay of 4,000 squared": ends(lambda: overlay(4_000, 4_000, 1), READABLE, ways=SHRUNK_ONLY),
    "avif alpha of itself": ends(lambda: auxiliary(b"auxl", 1, 1), *BOTH),
    "avif alpha of an item that is not there": ends(lambda: auxiliary(b"auxl", 2, 999), *BOTH),
    "avif alpha that has colours": ends(lambda: auxiliary(b"auxl", 2, 1), *BOTH),
    "avif thumbnail of itself": ends(lambda: auxiliary(b"thmb", 2, 2), *BOTH),
    "avif of 20,000 items": ends(lambda: many_items(20_000), *BOTH),
    "avif of 65,535 locations that it has not": ends(lambda: counted(b"iloc", 65_535), CORRUPT),
    "avif of 65,535 items that it has not": ends(lambda: counted(b"iinf", 65_535), *BOTH),
    "avif with boxes in boxes, 50 deep": ends(lambda: nested(50), *BOTH),
    "avif with boxes in boxes, 50,000 deep": ends(lambda: nested(50_000), *BOTH),
    "avif with a box of 4 billion bytes": ends(lambda: still(SIDE, SIDE, box(b"free", b"", HUGE)), *BOTH),
    "avif with a box of 2 bytes": ends(lambda: still(SIDE, SIDE, box(b"free", b"", 2)), *BOTH),
    "avif with a box of 18 quintillion bytes": ends(
        lambda: file_type() + box(b"free", b"\xff" * 8, 1) + still()[len(file_type()) :], CORRUPT
    ),
    "avif with 900,000 boxes": ends(
        lambda: file_type() + box(b"free", b"") * 900_000 + still()[len(file_type()) :], CORRUPT, ways=KEPT_ONLY
    ),
    "avif with 99,000 boxes": ends(lambda: still() + box(b"free", b"") * 99_000, *BOTH),
    "avif with 2 million boxes": ends(lambda: file_type() + box(b"free", b"") * 2_000_000, CORRUPT, ways=KEPT_ONLY),
    "avif with a property that it has not": ends(lambda: still(uses=(0x7F,)), *BOTH),
    "avif turned by 255": ends(lambda: still(SIDE, SIDE, box(b"irot", b"\xff"), uses=(3,)), *BOTH),
    "avif cropped to nothing": ends(
        lambda: still(SIDE, SIDE, clean_aperture(0, 1, 0, 1, 0, 1, 0, 1), uses=(3,)), *BOTH
    ),
    "avif cropped by fractions of 0": ends(lambda: still(SIDE, SIDE, clean_aperture(*[0] * 8), uses=(3,)), *BOTH),
    "avif cropped to 4 billion": ends(
        lambda: still(SIDE, SIDE, clean_aperture(HUGE, 1, HUGE, 1, HUGE, 1, HUGE, 1), uses=(3,)), *BOTH
    ),
    "avif of 255 channels": ends(lambda: still(SIDE, SIDE, full(b"pixi", b"\xff" + bytes(255)), uses=(3,)), *BOTH),
    "avif with a profile of noise": ends(
        lambda: still(SIDE, SIDE, box(b"colr", b"prof" + b"\xff" * 900), uses=(3,)), *BOTH
    ),
    "avif with 5,000 profiles": ends(lambda: still(SIDE, SIDE, *[box(b"colr", b"prof" + bytes(900))] * 5_000), *BOTH),
    "avif of AV1 noise": ends(lambda: with_noise(0), CORRUPT),
    "avif of AV1 that becomes noise": ends(lambda: with_noise(40), *BOTH),
    "avif with a configuration of noise": ends(
        lambda: avif([Item(b"av01", coded()[0], TILE)], [box(b"av1C", b"\xff" * 4), extents(SIDE, SIDE)]), *BOTH
    ),
    "avif whose first item is not there": ends(
        lambda: avif([Item(b"av01", coded()[0], TILE)], [coded()[1], extents(SIDE, SIDE)], first=99), CORRUPT
    ),
    "avif without a picture": ends(lambda: file_type() + box(b"mdat", bytes(99)), CORRUPT),
    "avif sequence without a still": ends(lambda: file_type(b"avis") + box(b"moov", bytes(99)), UNSUPPORTED),
    "avif of the short kind": ends(lambda: file_type() + box(b"mini", bytes(99)), UNSUPPORTED),
    "avif of 100,000 brands": ends(lambda: file_type(b"abcd" * 100_000) + still()[len(file_type()) :], *BOTH),
}
