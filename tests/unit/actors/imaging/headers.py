"""Small files whose headers claim any size."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.unit.actors.imaging.pictures import flat, save

if TYPE_CHECKING:
    from collections.abc import Callable


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes], interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    body = b"\x89PNG\r\n\x1a\n"
    for kind, payload in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        body += len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")
    return body


def jpeg_of(width: int, height: int, marker: int = 0xC0) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "JPEG"))
    at = source.index(b"\xff\xc0")
    source[at + 1] = marker
    source[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(source)


def webp_of(width: int, height: int) -> bytes:
    payload = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(9)
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(payload)) + b"WEBPVP8L" + struct.pack("<I", len(payload)) + payload


def gif_of(width: int, height: int) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "GIF"))
    source[6:10] = struct.pack("<HH", width, height)
    return bytes(source)


def tiff_of(width: int, height: int, *more: tuple[int, int]) -> bytes:
    fields = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), *more]
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields))
    return body + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields)) + bytes(100)


def bmp_of(width: int, height: int) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "BMP"))
    source[18:26] = struct.pack("<ii", width, height)
    return bytes(source)


def avif_of(width: int, height: int) -> bytes:
    source = save(flat((9, 9, 9), size=(640, 480)), "AVIF")
    return source.replace(struct.pack(">II", 640, 480), struct.pack(">II", width, height))


BOMBS: dict[str, Callable[[int, int], bytes]] = {
    "png": png_of,
    "jpeg": jpeg_of,
    "webp": webp_of,
    "gif": gif_of,
    "tiff": tiff_of,
    "bmp": bmp_of,
    "avif": avif_of,
}
BUFFERED = ("webp", "gif", "bmp", "avif")
