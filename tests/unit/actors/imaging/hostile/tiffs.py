"""TIFFs that lie or burst. Sources: Adobe, "TIFF, revision 6.0", and libtiff, "BigTIFF"."""

from __future__ import annotations

import struct

from tests.unit.actors.imaging.hostile.case import (
    CORRUPT,
    KEPT_ONLY,
    PIXELS,
    READABLE,
    UNSUPPORTED,
    Hostile,
    deflated,
    ends,
)
from tests.unit.actors.imaging.hostile.jpegs import plain as jpeg
from tests.unit.actors.imaging.hostile.jpegs import sized as jpeg_of
from tests.unit.actors.imaging.pictures import photo, save

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, ORIENTATION, SAMPLES = 256, 257, 258, 259, 262, 273, 274, 277
ROWS, COUNTS, PLANAR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 278, 279, 284, 322, 323, 324, 325
SUB_IFD, SAMPLE_FORMAT, SUBSAMPLING, EXIF_IFD, XMP, ICC = 330, 339, 530, 34665, 700, 34675
START = 8
LONG, SIGNED_LONG, LONG8 = 4, 9, 16
NONE, FAX4, LZW, OLD_JPEG, NEW_JPEG, DEFLATE, PACKBITS, LOGLUV = 1, 4, 5, 6, 7, 8, 32773, 34676
LERC, LZMA, ZSTD, WEBP, JXL = 34887, 34925, 50000, 50001, 50002
HUGE = 2**32 - 1
PACKED_ROW = b"\x81\x00" * 54 + b"\xa9\x00"  # 7,000 zeros by PackBits


def tiff(fields: dict[int, int], body: bytes = b"", following: int = 0, counts: dict[int, int] | None = None) -> bytes:
    """Build a file of one directory. Each field has one value, or an offset and a count."""
    head = b"II*\0" + struct.pack("<IH", START, len(fields))
    packed = (struct.pack("<HHII", tag, LONG, (counts or {}).get(tag, 1), fields[tag]) for tag in sorted(fields))
    return head + b"".join(packed) + struct.pack("<I", following) + body


def page(width: int = 64, height: int = 64, body: bytes | None = None, **more: int) -> bytes:
    """Make a grey picture in one strip. `more` are fields by their names."""
    pixels = bytes(width * height) if body is None else body
    named = {name.upper(): value for name, value in more.items()}
    fields = {WIDTH: width, HEIGHT: height, BITS: 8, COMPRESSION: NONE, PHOTOMETRIC: 1, OFFSETS: 0, SAMPLES: 1}
    fields |= {ROWS: height, COUNTS: len(pixels)} | {globals()[name]: value for name, value in named.items()}
    if "OFFSETS" not in named:
        fields[OFFSETS] = START + 6 + 12 * len(fields)
    return tiff(fields, pixels)


def tiled(width: int, height: int, tile_width: int, tile_height: int, body: bytes = bytes(4096)) -> bytes:
    fields = {WIDTH: width, HEIGHT: height, BITS: 8, COMPRESSION: NONE, PHOTOMETRIC: 1, SAMPLES: 1}
    fields |= {TILE_WIDTH: tile_width, TILE_HEIGHT: tile_height, TILE_OFFSETS: 0, TILE_COUNTS: len(body)}
    fields[TILE_OFFSETS] = START + 6 + 12 * len(fields)
    return tiff(fields, body)


def following_itself() -> bytes:
    source = bytearray(page())
    end = START + 2 + 12 * int.from_bytes(source[8:10], "little")
    source[end : end + 4] = struct.pack("<I", START)
    return bytes(source)


def many_pages(count: int) -> bytes:
    """Make a file of many directories that share one row of pixels."""
    fields = [(WIDTH, 9), (HEIGHT, 1), (BITS, 8), (COMPRESSION, NONE), (PHOTOMETRIC, 1), (OFFSETS, 8), (COUNTS, 9)]
    packed = struct.pack("<H", len(fields)) + b"".join(
        struct.pack("<HHII", tag, LONG, 1, value) for tag, value in fields
    )
    size = len(packed) + 4
    first = 20
    pages = (packed + struct.pack("<I", first + size * (n + 1) if n + 1 < count else 0) for n in range(count))
    return b"II*\0" + struct.pack("<I", first) + bytes(12) + b"".join(pages)


def big_tiff(count: int, tags: bytes = b"") -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count) + tags


def big_entry(tag: int, count: int, value: int) -> bytes:
    return struct.pack("<HHQQ", tag, LONG8, count, value)


def in_one_strip(side: int, bits: int, samples: int, form: int) -> bytes:
    """Make a picture of zeros that must be unpacked before the first row is known."""
    packed = deflated(side * side * samples * bits // 8)
    more = {"bits": bits, "samples": samples, "sample_format": form, "photometric": 2 if samples > 2 else 1}
    return page(side, side, packed, compression=DEFLATE, **more)


def signed(tag: int, value: int) -> bytes:
    """Make a tiled picture with one field in a type that only some readers accept."""
    source = tiled(64, 64, 64, 64)
    at = source.index(struct.pack("<HHI", tag, LONG, 1))
    return source[:at] + struct.pack("<HHII", tag, SIGNED_LONG, 1, value) + source[at + 12 :]


def several_bits(*bits: int) -> bytes:
    source = page(samples=len(bits), photometric=2)
    at = source.index(struct.pack("<HHII", BITS, LONG, 1, 8))
    values = struct.pack(f"<{len(bits)}I", *bits)
    return source[:at] + struct.pack("<HHII", BITS, LONG, len(bits), len(source)) + source[at + 12 :] + values


def retyped(tag: int, kind: int) -> bytes:
    """Make a picture with a field of 4 billion values."""
    source = page(xmp=8, icc=8)
    return source.replace(struct.pack("<HHI", tag, LONG, 1), struct.pack("<HHI", tag, kind, HUGE))


def packed_as(compression: int, body: bytes = b"\xa5" * 999, **more: int) -> bytes:
    return page(64, 64, body, compression=compression, **more)


def faxed(body: bytes) -> bytes:
    return page(7_000, 7_000, body, bits=1, compression=FAX4)


def photograph(**how: object) -> bytes:
    return save(photo(), "TIFF", **how)


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "tiff 4 billion squared": ends(lambda: tiff({WIDTH: HUGE, HEIGHT: HUGE, OFFSETS: 8}), PIXELS),
    "tiff of no size": ends(lambda: page(0, 0, b""), CORRUPT),
    "tiff without fields": ends(lambda: tiff({}), CORRUPT),
    "tiff whose directory follows itself": ends(following_itself, *BOTH),
    "tiff of 65,000 pages": ends(lambda: many_pages(65_000), *BOTH, ways=KEPT_ONLY),
    "tiff whose directory is beyond the end": ends(lambda: b"II*\0\xff\xff\xff\xff" + bytes(99), CORRUPT),
    "tiff whose next directory is beyond the end": ends(
        lambda: page()[:-4100] + b"\xff\xff\xff\x7f" + bytes(4096), *BOTH
    ),
    "tiff of 65,535 fields that it has not": ends(lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(999), CORRUPT),
    "tiff of 65,535 empty fields": ends(lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65_535 + 4), CORRUPT),
    "big tiff of 4 billion fields": ends(lambda: big_tiff(2**32), CORRUPT),
    "big tiff of 9 quintillion fields": ends(lambda: big_tiff(2**63 - 1), CORRUPT),
    "big tiff of 2 to the 63 squared": ends(
        lambda: big_tiff(2, big_entry(WIDTH, 1, 2**63) + big_entry(HEIGHT, 1, 2**63)), PIXELS
    ),
    "big tiff with values of 4 billion parts": ends(
        lambda: big_tiff(3, big_entry(WIDTH, 1, 9) + big_entry(HEIGHT, 1, 9) + big_entry(OFFSETS, 2**60, 16)), CORRUPT
    ),
    "tiff strips beyond the end": ends(lambda: page(offsets=2**31), CORRUPT),
    "tiff strips of 4 billion bytes": ends(lambda: page(counts=HUGE), *BOTH),
    "tiff strips of 0 bytes": ends(lambda: page(counts=0), *BOTH),
    "tiff of 4 billion strips": ends(
        lambda: tiff(
            {WIDTH: 64, HEIGHT: 64, BITS: 8, OFFSETS: 8, COUNTS: 8}, bytes(999), 0, {OFFSETS: HUGE, COUNTS: HUGE}
        ),
        CORRUPT,
    ),
    "tiff with strips of 4 billion rows": ends(lambda: page(rows=HUGE), *BOTH),
    "tiff with strips of 0 rows": ends(lambda: page(rows=0), *BOTH),
    "tiff of 49 megapixels without data": ends(lambda: page(7_000, 7_000, bytes(100)), CORRUPT),
    "tiff tiles of 65,536 squared": ends(lambda: tiled(64, 64, 65_536, 65_536), CORRUPT),
    "tiff tiles of 4,096 squared": ends(lambda: tiled(64, 64, 4_096, 4_096), *BOTH),
    "tiff tiles 2 billion wide, in signed numbers": ends(lambda: signed(TILE_WIDTH, 2**31 - 16), CORRUPT),
    "tiff tiles 60,000 high, in signed numbers": ends(lambda: signed(TILE_HEIGHT, 60_000), CORRUPT),
    "tiff of 60,000 channels, in signed numbers": ends(lambda: signed(SAMPLES, 60_000), CORRUPT, UNSUPPORTED),
    "tiff tiles of 0": ends(lambda: tiled(64, 64, 0, 0), CORRUPT),
    "tiff tiles of 17 by 3": ends(lambda: tiled(64, 64, 17, 3), CORRUPT),
    "tiff of 7,000 squared, one tile": ends(lambda: tiled(7_000, 7_000, 7_008, 7_008), CORRUPT),
    "tiff of 1,000 squared, deflated": ends(lambda: in_one_strip(1_000, 8, 1, 1), READABLE),
    "tiff of 7,000 squared, one strip": ends(lambda: in_one_strip(7_000, 8, 3, 1), READABLE),
    "tiff of 7,000 squared, 16 bits, one strip": ends(lambda: in_one_strip(7_000, 16, 4, 1), *BOTH),
    "tiff of 7,000 squared, 8 channels of 64 bits": ends(
        lambda: in_one_strip(7_000, 64, 8, 3), *BOTH, PIXELS, UNSUPPORTED
    ),
    "tiff of 7,000 squared, complex numbers": ends(lambda: in_one_strip(7_000, 128, 1, 6), *BOTH, PIXELS, UNSUPPORTED),
    "tiff of 65,535 channels": ends(lambda: page(samples=65_535), UNSUPPORTED),
    "tiff of 0 channels": ends(lambda: page(samples=0), CORRUPT),
    "tiff of 65,535 bits": ends(lambda: page(bits=65_535), CORRUPT),
    "tiff of 0 bits": ends(lambda: page(bits=0), CORRUPT),
    "tiff of 3 bits": ends(lambda: page(bits=3), *BOTH),
    "tiff of channels that differ": ends(lambda: several_bits(8, 16, 1), CORRUPT),
    "tiff in planes": ends(lambda: page(planar=2, samples=3, photometric=2), *BOTH),
    "tiff of planes of kind 77": ends(lambda: page(planar=77), *BOTH),
    "tiff that needs a palette and has none": ends(lambda: page(photometric=3), *BOTH),
    "tiff of a kind of colours of 65,535": ends(lambda: page(photometric=65_535), *BOTH),
    "tiff in Lab with one channel": ends(lambda: page(photometric=8), *BOTH),
    "tiff in YCbCr of one channel": ends(lambda: page(photometric=6), *BOTH),
    "tiff with a giant JPEG inside": ends(lambda: page(64, 64, jpeg_of(65_535, 65_535), compression=NEW_JPEG), CORRUPT),
    "tiff of 49 megapixels with a small JPEG inside": ends(
        lambda: page(7_000, 7_000, jpeg(), compression=NEW_JPEG), CORRUPT
    ),
    "tiff with JPEG of the old kind": ends(lambda: page(64, 64, jpeg(), compression=OLD_JPEG), *BOTH),
    "tiff of 49 megapixels of fax noise": ends(lambda: faxed(b"\xa5\x5a" * 999), *BOTH),
    "tiff of 49 megapixels of fax zeros": ends(lambda: faxed(bytes(99)), *BOTH),
    "tiff of 49 megapixels of PackBits": ends(
        lambda: page(7_000, 7_000, PACKED_ROW * 7_000, compression=PACKBITS), READABLE
    ),
    "tiff of LZW noise": ends(lambda: packed_as(LZW), CORRUPT),
    "tiff of LogLuv noise": ends(lambda: packed_as(LOGLUV, photometric=32844), *BOTH, UNSUPPORTED),
    "tiff of LERC noise": ends(lambda: packed_as(LERC), CORRUPT, UNSUPPORTED),
    "tiff of LZMA noise": ends(lambda: packed_as(LZMA), CORRUPT, UNSUPPORTED),
    "tiff of ZSTD noise": ends(lambda: packed_as(ZSTD), CORRUPT, UNSUPPORTED),
    "tiff of WebP noise": ends(lambda: packed_as(WEBP), CORRUPT, UNSUPPORTED),
    "tiff of JPEG XL noise": ends(lambda: packed_as(JXL), CORRUPT, UNSUPPORTED),
    "tiff of an unknown compression": ends(lambda: packed_as(4_242), CORRUPT, UNSUPPORTED),
    "tiff whose sub-directory is itself": ends(lambda: page(sub_ifd=START), *BOTH),
    "tiff whose EXIF is itself": ends(lambda: page(exif_ifd=START), *BOTH),
    "tiff with 4 billion bytes of XMP": ends(lambda: retyped(XMP, 1), *BOTH),
    "tiff with 4 billion bytes of profile": ends(lambda: retyped(ICC, 7), *BOTH),
    "tiff with an orientation of 99": ends(lambda: page(orientation=99), *BOTH),
    "tiff that claims the other byte order": ends(lambda: b"MM\0*" + photograph()[4:], CORRUPT),
}
