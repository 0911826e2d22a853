"""BMPs that lie. Source of the syntax: Microsoft, "Bitmap Header Types"."""

from __future__ import annotations

import struct

from tests.unit.actors.imaging.hostile.case import (
    CORRUPT,
    KEPT_ONLY,
    PIXELS,
    READABLE,
    STRANGE,
    UNSUPPORTED,
    Hostile,
    ends,
)
from tests.unit.actors.imaging.pictures import photo, save

RGB, RLE8, RLE4, BITFIELDS, JPEG, PNG = 0, 1, 2, 3, 4, 5
HEADERS = 54
JUMP = b"\0\2\xff\xff"  # 255 to the right and 255 rows up
HUGE = 2**32 - 1
LEAST = -(2**31)


def bmp(
    width: int, height: int, bits: int = 8, packing: int = RGB, *, body: bytes = b"", colours: int = 0, at: int = 0
) -> bytes:
    palette = bytes(4 << bits) if bits in {4, 8} else b""
    start = at or HEADERS + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    information = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(body), 0, 0, colours, 0)
    return head + information + palette + body


def core(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + bytes(64)


def large_header(size: int) -> bytes:
    """Make a photograph whose header claims to be a longer one, with colour profiles far outside the file."""
    source = bytearray(save(photo(), "BMP"))
    source[14:18] = struct.pack("<I", size)
    return bytes(source[:54]) + b"\xff" * (size - 40) + bytes(source[54:])


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "bmp 2 billion squared": ends(lambda: bmp(2**31 - 1, 2**31 - 1), PIXELS),
    "bmp of the most negative height": ends(lambda: bmp(16, LEAST), PIXELS),
    "bmp of the most negative width": ends(lambda: bmp(LEAST, 16), CORRUPT),
    "bmp of a negative width": ends(lambda: bmp(-16, 16, body=bytes(256)), CORRUPT),
    "bmp of no size": ends(lambda: bmp(0, 0), CORRUPT),
    "bmp of 49 megapixels without data": ends(lambda: bmp(7_000, 7_000, 24), PIXELS),
    "bmp of 16 megapixels without data": ends(lambda: bmp(4_000, 4_000, 24), CORRUPT),
    "bmp of 48 MB": ends(lambda: bmp(4_000, 4_000, 24, body=bytes(12_000 * 4_000)), READABLE, ways=KEPT_ONLY),
    "bmp of 49 megapixels by RLE in 2 bytes": ends(lambda: bmp(7_000, 7_000, 8, RLE8, body=b"\0\1"), UNSUPPORTED),
    "bmp of 16 megapixels by RLE": ends(lambda: bmp(4_000, 4_000, 8, RLE8, body=JUMP * 999), UNSUPPORTED),
    "bmp of 1 megapixel by RLE in 2 bytes": ends(lambda: bmp(1_000, 1_000, 8, RLE8, body=b"\0\1"), CORRUPT),
    "bmp of 49 megapixels by RLE jumps": ends(lambda: bmp(7_000, 7_000, 8, RLE8, body=JUMP * 999), UNSUPPORTED),
    "bmp of 1 megapixel by RLE jumps": ends(
        lambda: bmp(1_000, 1_000, 8, RLE8, body=JUMP * 999), READABLE, ways=KEPT_ONLY
    ),
    "bmp of 49 megapixels by RLE of 2 colours": ends(
        lambda: bmp(7_000, 7_000, 8, RLE8, body=(b"\xff\0" * 28 + b"\0\0") * 7_000 + b"\0\1"), UNSUPPORTED
    ),
    "bmp of 1 megapixel by RLE of 2 colours": ends(
        lambda: bmp(1_000, 1_000, 8, RLE8, body=(b"\xff\0" * 3 + b"\0\0") * 1_000 + b"\0\1"),
        READABLE,
        ways=KEPT_ONLY,
    ),
    "bmp of 1 megapixel by RLE of rows that end early": ends(
        lambda: bmp(1_000, 1_000, 8, RLE8, body=b"\1\0\0\0" * 1_000 + b"\0\1"), READABLE, ways=KEPT_ONLY
    ),
    "bmp of 1 megapixel by RLE of 4 bits": ends(
        lambda: bmp(1_000, 1_000, 4, RLE4, body=(b"\xff\0" * 3 + b"\0\0") * 1_000 + b"\0\1"),
        READABLE,
        ways=KEPT_ONLY,
    ),
    "bmp of 1 megapixel by RLE of 2 million runs": ends(
        lambda: bmp(1_000, 1_000, 8, RLE8, body=b"\1\0" * 2_000_000 + b"\0\1"), CORRUPT, ways=KEPT_ONLY
    ),
    "bmp of RLE that goes on and on": ends(lambda: bmp(16, 16, 8, RLE8, body=b"\xff\0" * 2_000_000), CORRUPT),
    "bmp of RLE that goes on for 1 MB": ends(
        lambda: bmp(16, 16, 8, RLE8, body=b"\xff\0" * 520_000), CORRUPT, ways=KEPT_ONLY
    ),
    "bmp of RLE jumps that go on and on": ends(lambda: bmp(16, 16, 8, RLE8, body=JUMP * 1_000_000), CORRUPT),
    "bmp of RLE jumps that go on for 1 MB": ends(lambda: bmp(16, 16, 8, RLE8, body=JUMP * 260_000), READABLE),
    "bmp of RLE jumps to where they are": ends(
        lambda: bmp(16, 16, 8, RLE8, body=b"\0\2\0\0" * 260_000), CORRUPT, ways=KEPT_ONLY
    ),
    "bmp with 2 MB behind its end": ends(lambda: bmp(16, 16, body=bytes(2_000_000)), CORRUPT),
    "bmp of RLE with a run that is not there": ends(lambda: bmp(16, 16, 8, RLE8, body=b"\0\xff"), *BOTH),
    "bmp of RLE with 4 bits": ends(lambda: bmp(16, 16, 4, RLE4, body=b"\xff\x12" * 99), *BOTH),
    "bmp of RLE with 24 bits": ends(lambda: bmp(16, 16, 24, RLE8, body=bytes(768)), *BOTH),
    "bmp of 4 billion colours": ends(lambda: bmp(16, 16, body=bytes(256), colours=HUGE), *BOTH),
    "bmp of 0 bits": ends(lambda: bmp(16, 16, 0, body=bytes(999)), CORRUPT),
    "bmp of 3 bits": ends(lambda: bmp(16, 16, 3, body=bytes(999)), CORRUPT),
    "bmp of 65,535 bits": ends(lambda: bmp(16, 16, 65_535, body=bytes(999)), CORRUPT),
    "bmp of masks that are all ones": ends(lambda: bmp(16, 16, 32, BITFIELDS, body=b"\xff" * 2_000), CORRUPT),
    "bmp of masks that are all zeros": ends(lambda: bmp(16, 16, 32, BITFIELDS, body=bytes(2_000)), *BOTH),
    "bmp with a JPEG inside": ends(lambda: bmp(16, 16, 0, JPEG, body=save(photo(), "JPEG")), CORRUPT),
    "bmp with a PNG inside": ends(lambda: bmp(16, 16, 0, PNG, body=save(photo(), "PNG")), CORRUPT),
    "bmp of compression 99": ends(lambda: bmp(16, 16, 8, 99, body=bytes(256)), CORRUPT),
    "bmp whose pixels are beyond the end": ends(lambda: bmp(16, 16, body=bytes(256), at=HUGE - 300), CORRUPT),
    "bmp whose pixels are its header": ends(lambda: bmp(4, 4, body=bytes(256), at=2), *BOTH),
    "bmp of 65,535 squared by OS/2": ends(lambda: core(65_535, 65_535), PIXELS),
    "bmp of version 5 of noise": ends(lambda: large_header(124), *BOTH),
    "bmp of version 4 of noise": ends(lambda: large_header(108), *BOTH),
    "bmp of a header of 41 bytes": ends(lambda: save(photo(), "BMP").replace(b"\x28\0\0\0", b"\x29\0\0\0", 1), STRANGE),
}
