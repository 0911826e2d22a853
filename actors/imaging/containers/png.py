"""The chunks of a PNG. Source: the W3C Recommendation "Portable Network Graphics (PNG)", third edition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.header import Header, bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE_BYTES = 8
_FRAMING_BYTES = 12  # length, type and checksum
# The chunks that a viewer needs to show the same picture. All others are metadata, private chunks too.
_PICTURE = frozenset(
    {
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"sBIT", b"pHYs"),
        *(b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"),
        *(b"acTL", b"fcTL", b"fdAT"),
    },
)


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    end: int


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at = _SIGNATURE_BYTES
    while at + _FRAMING_BYTES <= len(data):
        length, kind = unpack(">I4s", data, at)
        end = at + _FRAMING_BYTES + length
        yield _Chunk(kind, at, end)
        if kind == b"IEND":
            return
        at = end


def read_header(data: bytes) -> Header:
    """Read the size, and the number of frames of an animated PNG.

    Raises:
        ImageError: `corrupt_image`.
    """
    if data[12:16] != b"IHDR":
        raise corrupt("its header is missing")
    width, height, *_, interlace = unpack(">II5B", data, 16)
    frames = 1
    for chunk in bounded(_chunks(data)):
        if chunk.kind == b"acTL":
            frames = max(1, unpack(">I", data, chunk.start + 8)[0])
        if chunk.kind == b"IDAT":
            break
    return Header(width=width, height=height, frames=frames, is_buffered=interlace != 0)


def without_metadata(data: bytes) -> bytes:
    """Return the same encoded picture without text, EXIF, time, profile, private chunks and bytes behind the end."""
    kept = [data[:_SIGNATURE_BYTES]]
    kept.extend(data[chunk.start : chunk.end] for chunk in bounded(_chunks(data)) if chunk.kind in _PICTURE)
    return b"".join(kept)
