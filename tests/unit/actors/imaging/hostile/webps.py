"""WebPs that lie. Source of the syntax: RFC 9649 (container and VP8L), RFC 6386 (VP8)."""

from __future__ import annotations

import struct
from functools import cache

from tests.unit.actors.imaging.hostile.case import CORRUPT, FRAMES, KEPT_ONLY, PIXELS, READABLE, Hostile, ends
from tests.unit.actors.imaging.hostile.jpegs import profile
from tests.unit.actors.imaging.pictures import flat, photo, save

ANIMATION, EXIF, XMP, ALPHA, ICC = 0x02, 0x08, 0x04, 0x10, 0x20


def chunk(kind: bytes, payload: bytes, length: int | None = None) -> bytes:
    claimed = len(payload) if length is None else length
    return kind + struct.pack("<I", claimed) + payload + bytes(len(payload) % 2)


def riff(*chunks: bytes, length: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + uint24(width - 1) + uint24(height - 1))


def lossless_claim(width: int, height: int) -> bytes:
    return chunk(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(9))


def lossy_claim(width: int, height: int) -> bytes:
    return chunk(b"VP8 ", b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(40))


def frame(picture: bytes, width: int, height: int, left: int = 0) -> bytes:
    place = uint24(left // 2) + uint24(0) + uint24(width - 1) + uint24(height - 1) + uint24(10) + b"\0"
    return chunk(b"ANMF", place + picture)


@cache
def black(width: int, height: int, *, lossless: bool) -> bytes:
    """Return the chunk of a black picture."""
    return save(flat(0, "L", (width, height)), "WEBP", lossless=lossless, method=0, quality=0)[12:]


def black_that_claims(width: int, height: int, *, lossless: bool) -> bytes:
    """Return the chunk of a black picture of 4,000 squared that claims another size."""
    claim, at, end = (lossless_claim(width, height), 9, 13) if lossless else (lossy_claim(width, height), 14, 18)
    picture = black(4_000, 4_000, lossless=lossless)
    return picture[:at] + claim[at:end] + picture[end:]


@cache
def plain(**how: object) -> bytes:
    return save(photo(), "WEBP", **how)


def animation(frames: int, width: int, height: int, picture: bytes, size: tuple[int, int] | None = None) -> bytes:
    side = size or (width, height)
    loop = chunk(b"ANIM", bytes(6))
    return riff(canvas(width, height, ANIMATION), loop, *([frame(picture, *side)] * frames))


def with_chunk(kind: bytes, flag: int, payload: bytes, *, first: bool = False) -> bytes:
    more = chunk(kind, payload)
    picture = black(64, 64, lossless=True)
    return riff(canvas(64, 64, flag), *((more, picture) if first else (picture, more)))


def nested_frames(depth: int) -> bytes:
    inner = black(16, 16, lossless=True)
    for _ in range(depth):
        inner = frame(inner, 16, 16)
    return riff(canvas(16, 16, ANIMATION), chunk(b"ANIM", bytes(6)), inner)


def alpha(payload: bytes) -> bytes:
    return riff(canvas(160, 120, ALPHA), chunk(b"ALPH", payload), plain()[12:])


def with_alpha(side: int, coded: bytes) -> bytes:
    return riff(canvas(side, side, ALPHA), chunk(b"ALPH", coded), black_that_claims(side, side, lossless=False))


def alpha_bomb(side: int) -> bytes:
    """Make a file with alpha that claims to be lossless and has no data."""
    return with_alpha(side, b"\x01" + bytes(9))


def alpha_of_zeros() -> bytes:
    """Make a file with a byte of alpha for each of 16 million pixels."""
    return with_alpha(4_000, b"\x00" + bytes(16_000_000))


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "webp of 34 bytes, 16,383 squared": ends(lambda: riff(lossless_claim(16_383, 16_383)), PIXELS),
    "webp of 34 bytes, 7,000 squared": ends(lambda: riff(lossless_claim(7_000, 7_000)), PIXELS),
    "webp of 34 bytes, 4,000 squared": ends(lambda: riff(lossless_claim(4_000, 4_000)), CORRUPT),
    "webp of 34 bytes, 16,384 by 3,000": ends(lambda: riff(lossless_claim(16_384, 3_000)), PIXELS),
    "webp of 34 bytes, 16,384 by 976": ends(lambda: riff(lossless_claim(16_384, 976)), CORRUPT),
    "lossy webp of 70 bytes, 16,383 squared": ends(lambda: riff(lossy_claim(16_383, 16_383)), PIXELS),
    "lossy webp of 70 bytes, 7,000 squared": ends(lambda: riff(lossy_claim(7_000, 7_000)), PIXELS),
    "lossy webp of 70 bytes, 4,000 squared": ends(lambda: riff(lossy_claim(4_000, 4_000)), CORRUPT),
    "lossless webp of 7,000 squared": ends(lambda: riff(black_that_claims(7_000, 7_000, lossless=True)), PIXELS),
    "lossless webp of 4,000 squared": ends(lambda: riff(black(4_000, 4_000, lossless=True)), READABLE),
    "lossy webp of 7,000 squared": ends(lambda: riff(black_that_claims(7_000, 7_000, lossless=False)), PIXELS),
    "lossy webp of 4,000 squared": ends(lambda: riff(black(4_000, 4_000, lossless=False)), READABLE, ways=KEPT_ONLY),
    "lossy webp of 4,000 squared with alpha": ends(alpha_of_zeros, READABLE, ways=KEPT_ONLY),
    "webp with a canvas of 16 million squared": ends(
        lambda: riff(canvas(2**24, 2**24), black(16, 16, lossless=True)), PIXELS
    ),
    "webp with a canvas of 7,000 squared, tiny picture": ends(
        lambda: riff(canvas(7_000, 7_000), black(16, 16, lossless=True)), PIXELS
    ),
    "webp with a canvas of 4,000 squared, tiny picture": ends(
        lambda: riff(canvas(4_000, 4_000), black(16, 16, lossless=True)), CORRUPT
    ),
    "webp larger than its canvas": ends(lambda: riff(canvas(16, 16), lossless_claim(16_383, 16_383)), PIXELS),
    "webp a little larger than its canvas": ends(lambda: riff(canvas(16, 16), black(64, 64, lossless=True)), CORRUPT),
    "webp with a canvas and no picture": ends(lambda: riff(canvas(64, 64)), CORRUPT),
    "webp animation of 40,000 frames": ends(
        lambda: animation(40_000, 16, 16, black(16, 16, lossless=True)), FRAMES, ways=KEPT_ONLY
    ),
    "webp animation of 65,536 frames": ends(
        lambda: animation(65_536, 16, 16, black(16, 16, lossless=True)), CORRUPT, ways=KEPT_ONLY
    ),
    "webp animation of 100 tiny frames on 700 squared": ends(
        lambda: animation(100, 700, 700, black(16, 16, lossless=True), (16, 16)), PIXELS
    ),
    "webp animation of 100 tiny frames on 400 squared": ends(
        lambda: animation(100, 400, 400, black(16, 16, lossless=True), (16, 16)), READABLE
    ),
    "webp animation of 100 frames of 700 squared": ends(
        lambda: animation(100, 700, 700, black(700, 700, lossless=True)), PIXELS
    ),
    "webp animation of 100 frames of 400 squared": ends(
        lambda: animation(100, 400, 400, black(400, 400, lossless=True)), READABLE
    ),
    "webp animation of 100 lossy frames of 700 squared": ends(
        lambda: animation(100, 700, 700, black(700, 700, lossless=False)), PIXELS
    ),
    "webp animation of 100 lossy frames of 400 squared": ends(
        lambda: animation(100, 400, 400, black(400, 400, lossless=False)), READABLE
    ),
    "webp animation on 16,383 squared": ends(
        lambda: animation(2, 16_383, 16_383, black(16, 16, lossless=True), (16, 16)), PIXELS
    ),
    "webp animation with a frame larger than it says": ends(
        lambda: animation(2, 16, 16, lossless_claim(16_383, 16_383)), PIXELS
    ),
    "webp animation with a frame beyond its canvas": ends(
        lambda: riff(
            canvas(64, 64, ANIMATION), chunk(b"ANIM", bytes(6)), frame(black(64, 64, lossless=True), 64, 64, 60)
        ),
        CORRUPT,
    ),
    "webp animation with frames in frames": ends(lambda: nested_frames(100), CORRUPT),
    "webp animation without a picture": ends(lambda: animation(2, 64, 64, b""), CORRUPT),
    "webp animation without its flag": ends(
        lambda: riff(canvas(16, 16), frame(black(16, 16, lossless=True), 16, 16)), *BOTH
    ),
    "webp whose length is 0": ends(lambda: riff(plain()[12:], length=0), CORRUPT),
    "webp whose length is 4 billion": ends(lambda: riff(plain()[12:], length=2**32 - 1), CORRUPT),
    "webp whose length is half": ends(lambda: riff(plain()[12:], length=len(plain()) // 2), CORRUPT),
    "webp with a chunk of 4 billion bytes": ends(
        lambda: riff(canvas(64, 64), chunk(b"prVt", b"", 2**32 - 1), black(64, 64, lossless=True)), CORRUPT
    ),
    "webp with 900,000 empty chunks": ends(
        lambda: riff(canvas(64, 64), chunk(b"prVt", b"") * 900_000, black(64, 64, lossless=True)),
        CORRUPT,
        ways=KEPT_ONLY,
    ),
    "webp with 99,000 empty chunks": ends(
        lambda: riff(canvas(64, 64), chunk(b"prVt", b"") * 99_000, black(64, 64, lossless=True)),
        READABLE,
        ways=KEPT_ONLY,
    ),
    "webp with 2 million empty chunks": ends(
        lambda: riff(canvas(64, 64), chunk(b"prVt", b"") * 2_000_000, black(64, 64, lossless=True)),
        CORRUPT,
        ways=KEPT_ONLY,
    ),
    "webp with alpha of noise": ends(lambda: alpha(b"\xff" * 500), CORRUPT),
    "webp with alpha of 0 bytes": ends(lambda: alpha(b""), CORRUPT),
    "webp with alpha of 49 megapixels in 10 bytes": ends(lambda: alpha_bomb(7_000), PIXELS),
    "webp with alpha of 16 megapixels in 10 bytes": ends(lambda: alpha_bomb(4_000), CORRUPT),
    "webp with a profile of 4 billion tags": ends(
        lambda: with_chunk(b"ICCP", ICC, profile(2**32 - 1), first=True), READABLE
    ),
    "webp with a profile of 10 MB": ends(lambda: with_chunk(b"ICCP", ICC, bytes(10_000_000), first=True), READABLE),
    "webp with XMP of 10 MB": ends(lambda: with_chunk(b"XMP ", XMP, b"<" * 10_000_000), READABLE),
    "webp with EXIF that loops": ends(
        lambda: with_chunk(b"EXIF", EXIF, b"MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"), READABLE
    ),
    "lossless webp of noise": ends(lambda: riff(chunk(b"VP8L", b"\x2f" + b"\xa5\x5a\x0f" * 500)), CORRUPT, PIXELS),
    "lossy webp that is no key frame": ends(lambda: riff(chunk(b"VP8 ", b"\x11" + plain()[21:])), CORRUPT),
}
