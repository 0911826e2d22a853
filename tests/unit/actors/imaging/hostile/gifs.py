"""GIFs that lie or burst. Source of the syntax: CompuServe, "Graphics Interchange Format, version 89a"."""

from __future__ import annotations

import struct
from functools import cache

from tests.unit.actors.imaging.hostile.case import (
    CORRUPT,
    FRAMES,
    KEPT_ONLY,
    PIXELS,
    READABLE,
    SHRUNK_ONLY,
    Hostile,
    ends,
)
from tests.unit.actors.imaging.pictures import photo, save

TRAILER = b"\x3b"
PALETTE = bytes([0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255])
CLEAR, END = 4, 5
DOT = b"\x02\x02\x4c\x01\x00"  # one pixel


def screen(width: int, height: int, *, palette: bool = True) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81 if palette else 0, 0, 0)
    return head + (PALETTE if palette else b"")


def picture(width: int, height: int, coded: bytes, left: int = 0, top: int = 0) -> bytes:
    return b"\x2c" + struct.pack("<HHHHB", left, top, width, height, 0) + coded


def control(delay: int = 5, transparent: int = 0, flags: int = 4) -> bytes:
    return b"\x21\xf9\x04" + struct.pack("<BHB", flags, delay, transparent) + b"\0"


def sub_blocks(data: bytes) -> bytes:
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


@cache
def run_of_zeros(count: int) -> bytes:
    """Encode pixels of colour 0 as LZW. Each code stands for one pixel more than the code before."""
    value = bits = 0
    pieces = []
    width, following, length = 3, CLEAR + 2, 1

    def emit(code: int) -> None:
        nonlocal value, bits
        value |= code << bits
        bits += width
        while bits >= 8:
            pieces.append(value & 0xFF)
            value, bits = value >> 8, bits - 8

    emit(CLEAR)
    emit(0)
    left = count - 1
    while left > 0:
        if following == 4_096:
            emit(CLEAR)
            width, following, length = 3, CLEAR + 2, 1
            emit(0)
            left -= 1
            continue
        length = min(length + 1, left)
        emit(following if length > 1 else 0)
        left -= length
        following += 1
        if following == 1 << width and width < 12:
            width += 1
    emit(END)
    return b"\x02" + sub_blocks(bytes([*pieces, value & 0xFF]))


def black(width: int, height: int) -> bytes:
    return screen(width, height) + picture(width, height, run_of_zeros(width * height)) + TRAILER


def animation(frames: int, width: int, height: int, coded: bytes, size: tuple[int, int]) -> bytes:
    return screen(width, height) + (control() + picture(*size, coded)) * frames + TRAILER


def small(*blocks: bytes) -> bytes:
    return screen(16, 16) + b"".join(blocks) + picture(16, 16, run_of_zeros(256)) + TRAILER


def coded_as(coded: bytes) -> bytes:
    return screen(16, 16) + picture(16, 16, coded) + TRAILER


BOTH = (CORRUPT, READABLE)
CASES: dict[str, Hostile] = {
    "gif of 100,000 frames of one pixel": ends(lambda: animation(100_000, 1, 1, DOT, (1, 1)), CORRUPT, ways=KEPT_ONLY),
    "gif of 49,000 frames of one pixel": ends(lambda: animation(49_000, 1, 1, DOT, (1, 1)), FRAMES, ways=KEPT_ONLY),
    "gif of 101 frames": ends(lambda: animation(101, 1, 1, DOT, (1, 1)), FRAMES),
    "gif of one pixel on 65,535 squared": ends(lambda: animation(1, 65_535, 65_535, DOT, (1, 1)), PIXELS),
    "gif of one pixel on 7,000 squared": ends(lambda: animation(1, 7_000, 7_000, DOT, (1, 1)), PIXELS),
    "gif of one pixel on 4,000 squared": ends(lambda: animation(1, 4_000, 4_000, DOT, (1, 1)), READABLE),
    "gif of 100 pixels on 700 squared": ends(lambda: animation(100, 700, 700, DOT, (1, 1)), PIXELS),
    "gif of 100 pixels on 400 squared": ends(lambda: animation(100, 400, 400, DOT, (1, 1)), READABLE, ways=SHRUNK_ONLY),
    "gif of 100 pixels on 16,000 by 3,000": ends(lambda: animation(100, 16_000, 3_000, DOT, (1, 1)), PIXELS),
    "gif of 7,000 squared": ends(lambda: black(7_000, 7_000), PIXELS),
    "gif of 4,000 squared": ends(lambda: black(4_000, 4_000), READABLE),
    "gif of 100 frames of 700 squared": ends(
        lambda: animation(100, 700, 700, run_of_zeros(490_000), (700, 700)), PIXELS
    ),
    "gif of 100 frames of 400 squared": ends(
        lambda: animation(100, 400, 400, run_of_zeros(160_000), (400, 400)), READABLE
    ),
    "gif of a frame far beyond its screen": ends(
        lambda: screen(16, 16) + picture(65_535, 65_535, DOT, 65_535, 65_535) + TRAILER, PIXELS
    ),
    "gif of a frame that starts beyond its screen": ends(
        lambda: screen(16, 16) + picture(16, 16, run_of_zeros(256), 20, 20) + TRAILER, *BOTH
    ),
    "gif of a screen of 0 by 0": ends(lambda: screen(0, 0) + picture(9, 9, run_of_zeros(81)) + TRAILER, *BOTH),
    "gif of a frame of 0 by 0": ends(lambda: screen(9, 9) + picture(0, 0, DOT) + TRAILER, *BOTH),
    "gif of 0 by 0 at all": ends(lambda: screen(0, 0) + picture(0, 0, DOT) + TRAILER, CORRUPT),
    "gif with codes of 12 bits": ends(lambda: coded_as(b"\x0c" + sub_blocks(bytes(500))), CORRUPT),
    "gif with codes of 0 bits": ends(lambda: coded_as(b"\x00" + sub_blocks(bytes(500))), *BOTH),
    "gif with codes of 255 bits": ends(lambda: coded_as(b"\xff" + sub_blocks(bytes(500))), CORRUPT),
    "gif with codes beyond its table": ends(lambda: coded_as(b"\x02" + sub_blocks(b"\xff" * 500)), CORRUPT),
    "gif of clear codes only": ends(lambda: coded_as(b"\x02" + sub_blocks(b"\x24\x49\x92" * 1_000_000)), *BOTH),
    "gif with pixels of 5 MB too many": ends(
        lambda: coded_as(run_of_zeros(256)[:-1] + sub_blocks(bytes(5_000_000))), *BOTH
    ),
    "gif with half of its pixels": ends(lambda: coded_as(run_of_zeros(128)), *BOTH),
    "gif without pixels": ends(lambda: coded_as(b"\x02\0"), *BOTH),
    "gif without a frame": ends(lambda: screen(16, 16) + TRAILER, CORRUPT),
    "gif without an end": ends(lambda: black(16, 16)[:-1], *BOTH),
    "gif whose last block never ends": ends(lambda: black(16, 16)[:-2], *BOTH),
    "gif with a comment of 10 MB": ends(lambda: small(b"\x21\xfe" + sub_blocks(b"A" * 10_000_000)), READABLE),
    "gif with a comment of 3 million blocks": ends(
        lambda: small(b"\x21\xfe" + b"\1A" * 3_000_000 + b"\0"), CORRUPT, ways=KEPT_ONLY
    ),
    "gif with 99,000 empty extensions": ends(lambda: small(b"\x21\xfe\0" * 99_000), READABLE, ways=KEPT_ONLY),
    "gif with 900,000 empty extensions": ends(lambda: small(b"\x21\xfe\0" * 900_000), CORRUPT, ways=KEPT_ONLY),
    "gif with XMP of 10 MB": ends(lambda: small(b"\x21\xff\x0bXMP DataXMP" + sub_blocks(b"<" * 10_000_000)), READABLE),
    "gif that loops with half a number": ends(lambda: small(b"\x21\xff\x0bNETSCAPE2.0\x01\x01\0"), *BOTH),
    "gif without any palette": ends(
        lambda: screen(16, 16, palette=False) + picture(16, 16, run_of_zeros(256)) + TRAILER, *BOTH
    ),
    "gif with a transparent colour that it has not": ends(lambda: small(control(65_535, 255, 5)), READABLE),
    "gif with a disposal of 7": ends(lambda: small(control(0, 0, 0x1C)), *BOTH),
    "gif with garbage between blocks": ends(lambda: small(b"garbage"), CORRUPT),
    "gif with 100,000 frames behind garbage": ends(
        lambda: black(16, 16)[:-1] + b"garbage" + (control() + picture(1, 1, DOT)) * 100_000 + TRAILER, *BOTH, FRAMES
    ),
    "gif with 100,000 frames behind the end": ends(
        lambda: black(16, 16) + (control() + picture(1, 1, DOT)) * 100_000 + TRAILER, READABLE
    ),
    "gif with garbage of 10 MB behind the end": ends(lambda: black(16, 16) + b"\x2c" * 10_000_000, READABLE),
    "gif of a photograph, interlaced by a lie": ends(
        lambda: save(photo(), "GIF").replace(b"\xa0\0\x78\0\0", b"\xa0\0\x78\0\x40"), *BOTH
    ),
}
