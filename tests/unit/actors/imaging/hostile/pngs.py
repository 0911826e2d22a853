"""PNGs that lie or burst. Source of the syntax: W3C, "Portable Network Graphics (PNG)", third edition."""

from __future__ import annotations

import struct
import zlib
from functools import cache

from tests.unit.actors.imaging.hostile.case import (
    CORRUPT,
    FRAMES,
    KEPT_ONLY,
    MEBIBYTE,
    PIXELS,
    READABLE,
    Hostile,
    deflated,
    ends,
)
from tests.unit.actors.imaging.pictures import photo, save

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, RGBA: 4}
SIDE = 64


def chunk(kind: bytes, payload: bytes = b"", length: int | None = None, checksum: int | None = None) -> bytes:
    claimed = len(payload) if length is None else length
    proof = zlib.crc32(kind + payload) if checksum is None else checksum
    return struct.pack(">I", claimed) + kind + payload + struct.pack(">I", proof)


def header(width: int, height: int, depth: int = 8, kind: int = RGB, *, interlaced: int = 0, packing: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, packing, 0, interlaced))


def file_of(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND")


@cache
def pixels(width: int, height: int, depth: int = 8, kind: int = RGB, *, interlaced: int = 0) -> bytes:
    """Return black pixels, as small as they can be. Interlacing has a few rows more."""
    rows = height * 2 if interlaced else height
    return deflated(rows * (width * CHANNELS[kind] * depth // 8 + 1))


def black(width: int, height: int, depth: int = 8, kind: int = RGB, *, interlaced: int = 0) -> bytes:
    body = chunk(b"IDAT", pixels(width, height, depth, kind, interlaced=interlaced))
    return file_of(header(width, height, depth, kind, interlaced=interlaced), body)


def small(*chunks: bytes, kind: int = RGB, depth: int = 8) -> bytes:
    """Make a picture of 64 by 64 with more chunks in front of its pixels."""
    return file_of(header(SIDE, SIDE, depth, kind), *chunks, chunk(b"IDAT", pixels(SIDE, SIDE, depth, kind)))


def claiming(width: int, height: int) -> bytes:
    return file_of(header(width, height), chunk(b"IDAT", deflated(100)))


def text(name: bytes, size: int) -> bytes:
    return chunk(b"zTXt", name + b"\0\0" + deflated(size))


def international(size: int) -> bytes:
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + deflated(size))


def raw_exif(size: int) -> bytes:
    """Return EXIF in compressed text, as ImageMagick writes it."""
    packed = zlib.compress(b"\nexif\n%8d\n" % size + b"4d" * size, 1)
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + packed)


def exif_loop() -> bytes:
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)
    return chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1" + entry + struct.pack(">I", 8))


def profile_bomb(size: int) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + deflated(size))


def in_tiny_pieces() -> bytes:
    packed = pixels(SIDE, SIDE) + bytes(100_000)
    body = b"".join(chunk(b"IDAT", packed[at : at + 1]) for at in range(len(packed)))
    return file_of(header(SIDE, SIDE), body)


def animated(frames: int, *more: bytes) -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 10, 0, 0))
    return small(chunk(b"acTL", struct.pack(">II", frames, 0)), control, *more)


def giant_frame() -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 2**31 - 1, 2**31 - 1, 0, 0, 1, 10, 0, 0))
    return animated(2)[:-12] + control + chunk(b"fdAT", struct.pack(">I", 2) + deflated(100)) + chunk(b"IEND")


def photographic(**how: object) -> bytes:
    return save(photo(), "PNG", **how)


def broken_checksum(kind: bytes) -> bytes:
    source = bytearray(photographic())
    at = source.index(kind)
    end = at + 4 + int.from_bytes(source[at - 4 : at], "big")
    source[end] ^= 0xFF
    return bytes(source)


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "png 65,535 squared": ends(lambda: claiming(65_535, 65_535), PIXELS),
    "png 2 billion squared": ends(lambda: claiming(2**31 - 1, 2**31 - 1), PIXELS),
    "png 4 billion squared": ends(lambda: claiming(2**32 - 1, 2**32 - 1), PIXELS),
    "png of no width": ends(lambda: claiming(0, 9), CORRUPT),
    "png 16,384 by 3,000 without data": ends(lambda: claiming(16_384, 3_000), CORRUPT),
    "png 7,000 squared in 140 KB": ends(lambda: black(7_000, 7_000), READABLE),
    "png 7,000 squared, 16 bits, interlaced": ends(lambda: black(7_000, 7_000, 16, RGBA, interlaced=1), PIXELS),
    "png 4,000 squared, 16 bits, interlaced": ends(
        lambda: black(4_000, 4_000, 16, RGBA, interlaced=1), READABLE, ways=KEPT_ONLY
    ),
    "png 7,000 squared, 1 bit, interlaced": ends(lambda: black(7_000, 7_000, 1, GREY, interlaced=1), PIXELS),
    "png 4,000 squared, 1 bit, interlaced": ends(
        lambda: black(4_000, 4_000, 1, GREY, interlaced=1), READABLE, ways=KEPT_ONLY
    ),
    "png with pixels of 200 MB too many": ends(
        lambda: file_of(header(SIDE, SIDE), chunk(b"IDAT", deflated(200 * MEBIBYTE))), *BOTH
    ),
    "png with a profile of 200 MB": ends(lambda: small(profile_bomb(200 * MEBIBYTE)), *BOTH),
    "png with a profile of 7 MB": ends(lambda: small(profile_bomb(7 * MEBIBYTE)), *BOTH),
    "png with text of 200 MB": ends(lambda: small(text(b"Comment", 200 * MEBIBYTE)), *BOTH),
    "png with 1,000 texts of 7 MB": ends(lambda: small(text(b"Comment", 7 * MEBIBYTE) * 1_000), *BOTH, ways=KEPT_ONLY),
    "png with XMP of 200 MB": ends(lambda: small(international(200 * MEBIBYTE)), *BOTH),
    "png with 500 XMPs of 7 MB": ends(lambda: small(international(7 * MEBIBYTE) * 500), *BOTH, ways=KEPT_ONLY),
    "png with compressed EXIF of 100 MB": ends(lambda: small(raw_exif(50 * MEBIBYTE)), *BOTH),
    "png with compressed EXIF of 4 MB": ends(lambda: small(raw_exif(2 * MEBIBYTE)), *BOTH),
    "png with EXIF that loops": ends(lambda: small(exif_loop()), *BOTH),
    "png with 50,000 texts": ends(lambda: small(chunk(b"tEXt", b"k\0v") * 50_000), *BOTH),
    "png with 99,000 private chunks": ends(lambda: small(chunk(b"prVt") * 99_000), READABLE, ways=KEPT_ONLY),
    "png with 900,000 private chunks": ends(lambda: small(chunk(b"prVt") * 900_000), CORRUPT, ways=KEPT_ONLY),
    "png with 2 million private chunks": ends(lambda: small(chunk(b"prVt") * 2_000_000), CORRUPT, ways=KEPT_ONLY),
    "png in pieces of one byte": ends(in_tiny_pieces, *BOTH),
    "png that needs a palette and has none": ends(lambda: small(kind=PALETTE), CORRUPT),
    "png with a palette of 300 colours": ends(lambda: small(chunk(b"PLTE", bytes(900)), kind=PALETTE), CORRUPT),
    "png with a palette of 1 byte": ends(lambda: small(chunk(b"PLTE", b"a"), kind=PALETTE), CORRUPT),
    "png with transparency of 60 KB": ends(lambda: small(chunk(b"tRNS", bytes(60_000))), *BOTH),
    "png of 3 bits": ends(lambda: small(depth=3, kind=GREY), CORRUPT),
    "png of colour type 5": ends(lambda: file_of(header(9, 9, 8, 5), chunk(b"IDAT", deflated(900))), CORRUPT),
    "png of interlacing 7": ends(lambda: file_of(header(9, 9, interlaced=7), chunk(b"IDAT", deflated(900))), CORRUPT),
    "png of compression 9": ends(lambda: file_of(header(9, 9, packing=9), chunk(b"IDAT", deflated(900))), CORRUPT),
    "png whose header has a wrong checksum": ends(lambda: broken_checksum(b"IHDR"), *BOTH),
    "png whose pixels have a wrong checksum": ends(lambda: broken_checksum(b"IDAT"), *BOTH),
    "png with a chunk of 4 billion bytes": ends(lambda: small(chunk(b"prVt", b"", 2**32 - 1)), CORRUPT),
    "png with a chunk one byte too long": ends(lambda: small(chunk(b"prVt", b"abc", 4)), CORRUPT),
    "png with a second header, giant": ends(lambda: small(header(65_535, 65_535)), *BOTH, PIXELS),
    "png whose pixels come first": ends(
        lambda: file_of(chunk(b"IDAT", pixels(SIDE, SIDE)), header(SIDE, SIDE)), CORRUPT
    ),
    "png without an end": ends(lambda: photographic()[:-12], *BOTH),
    "png without pixels": ends(lambda: file_of(header(SIDE, SIDE)), CORRUPT),
    "png with a gamma of 0": ends(lambda: small(chunk(b"gAMA", bytes(4))), *BOTH),
    "png with colours of 0": ends(lambda: small(chunk(b"cHRM", bytes(32))), *BOTH),
    "png with 255 significant bits": ends(lambda: small(chunk(b"sBIT", b"\xff\xff\xff")), *BOTH),
    "png with a coding of 255": ends(lambda: small(chunk(b"cICP", b"\xff\xff\xff\xff")), *BOTH),
    "png with 2 billion pixels a metre": ends(lambda: small(chunk(b"pHYs", b"\x7f\xff\xff\xff" * 2 + b"\1")), READABLE),
    "png of Apple's own kind": ends(
        lambda: file_of(chunk(b"CgBI", b"P\0 \2"), header(SIDE, SIDE), chunk(b"IDAT", deflated(900)[2:])), CORRUPT
    ),
    "animated png of 4 billion frames": ends(lambda: animated(2**32 - 1), FRAMES),
    "animated png of no frames": ends(lambda: animated(0), READABLE),
    "animated png with a frame of 2 billion squared": ends(giant_frame, READABLE, PIXELS),
}
