"""The RIFF chunks of a WebP. Sources: RFC 9649, and RFC 6386 (VP8), section 9.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.header import Header, bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

_RIFF_BYTES = 12
_CHUNK_BYTES = 8
_FRAME_BYTES = 16  # the fixed part of ANMF, before the chunks of its picture
_PICTURE = frozenset({b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
_METADATA_FLAGS = 0x20 | 0x08 | 0x04  # ICC profile, EXIF, XMP
_SIDE_MASK = 0x3FFF


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    end: int  # the end of its padding


def _chunks(data: bytes, start: int, end: int) -> Iterator[_Chunk]:
    at = start
    while at + _CHUNK_BYTES <= end:
        kind, size = unpack("<4sI", data, at)
        following = at + _CHUNK_BYTES + size + size % 2
        yield _Chunk(kind, at, min(following, end))
        at = following


def _riff(data: bytes) -> Iterator[_Chunk]:
    end = _CHUNK_BYTES + unpack("<I", data, 4)[0]
    return bounded(_chunks(data, _RIFF_BYTES, min(end + end % 2, len(data))))


def _uint24(data: bytes, at: int) -> int:
    low, high = unpack("<HB", data, at)
    return int(low | high << 16)


def _size(data: bytes, chunk: _Chunk) -> tuple[int, int]:
    """Return the width and height in pixels that a chunk gives, or 0 by 0 when it gives none."""
    payload = chunk.start + _CHUNK_BYTES
    if chunk.kind == b"VP8 ":
        width, height = unpack("<HH", data, payload + 6)
        return width & _SIDE_MASK, height & _SIDE_MASK
    if chunk.kind == b"VP8L":
        bits = unpack("<I", data, payload + 1)[0]
        return (bits & _SIDE_MASK) + 1, (bits >> 14 & _SIDE_MASK) + 1
    if chunk.kind == b"VP8X":
        return _uint24(data, payload + 4) + 1, _uint24(data, payload + 7) + 1
    if chunk.kind == b"ANMF":
        return _uint24(data, payload + 6) + 1, _uint24(data, payload + 9) + 1
    return 0, 0


def _with_frames(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks of the file, with those inside its frames."""
    for chunk in _riff(data):
        yield chunk
        if chunk.kind == b"ANMF":
            yield from _chunks(data, chunk.start + _CHUNK_BYTES + _FRAME_BYTES, chunk.end)


def read_header(data: bytes) -> Header:
    """Read the largest size of any chunk, the number of frames, and whether all pictures are lossless.

    Raises:
        ImageError: `corrupt_image`.
    """
    width = height = frames = 0
    pictures = set()
    for chunk in bounded(_with_frames(data)):
        size = _size(data, chunk)
        width, height = max(width, size[0]), max(height, size[1])
        frames += chunk.kind == b"ANMF"
        if chunk.kind in {b"VP8 ", b"VP8L"}:
            pictures.add(chunk.kind)
    if not pictures:
        raise corrupt("it has no picture in it")
    lossless = pictures == {b"VP8L"}
    return Header(width=width, height=height, frames=max(1, frames), lossless=lossless, is_buffered=True)


def without_metadata(data: bytes) -> bytes:
    """Return the same encoded pictures without EXIF, XMP, profile, unknown chunks and bytes behind the end."""
    body = bytearray(b"WEBP")
    for chunk in _riff(data):
        if chunk.kind in _PICTURE:
            at = len(body)
            body += data[chunk.start : chunk.end]
            if chunk.kind == b"VP8X":
                body[at + _CHUNK_BYTES] &= ~_METADATA_FLAGS & 0xFF
    return b"RIFF" + len(body).to_bytes(4, "little") + bytes(body)
