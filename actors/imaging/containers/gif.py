"""The blocks of a GIF. Source: CompuServe, "Graphics Interchange Format, version 89a"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.header import Header, bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_SUB_BLOCKS = 1_000_000  # the limit for one picture; a file of 64 MiB in full sub-blocks has 263,000
_SCREEN_END = 13  # signature and logical screen descriptor
_EXTENSION = 0x21
_IMAGE = 0x2C
_TRAILER = 0x3B
_COMMENT = 0xFE
_APPLICATION = 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


@dataclass(frozen=True, slots=True)
class _Block:
    kind: int
    label: int  # the kind of an extension
    start: int
    end: int


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 0x07) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, at: int) -> int:
    for _ in range(_MAX_SUB_BLOCKS):
        size = unpack("B", data, at)[0]
        at += 1 + size
        if not size:
            return at
    raise corrupt("it has too many parts")


def _first_block(data: bytes) -> int:
    return _SCREEN_END + _colour_table_bytes(unpack("B", data, 10)[0])


def _blocks(data: bytes) -> Iterator[_Block]:
    """Yield the blocks up to the trailer, or to the first byte that starts no block."""
    at = _first_block(data)
    while at + 1 < len(data):
        kind, label = data[at], data[at + 1]
        if kind == _EXTENSION:
            end = _skip_sub_blocks(data, at + 2)
        elif kind == _IMAGE:
            pixels = at + 10 + _colour_table_bytes(unpack("B", data, at + 9)[0])
            end = _skip_sub_blocks(data, pixels + 1)
        else:
            return
        yield _Block(kind, label, at, end)
        at = end


def read_header(data: bytes) -> Header:
    """Read the number of frames and the canvas: the screen, and the frames that reach beyond it.

    Raises:
        ImageError: `corrupt_image`.
    """
    width, height = unpack("<HH", data, 6)
    frames = 0
    for block in bounded(_blocks(data)):
        if block.kind == _IMAGE:
            frames += 1
            left, top, frame_width, frame_height = unpack("<HHHH", data, block.start + 1)
            width, height = max(width, left + frame_width), max(height, top + frame_height)
    if not frames:
        raise corrupt("it has no picture in it")
    return Header(width=width, height=height, frames=frames, is_buffered=True)


def without_metadata(data: bytes) -> bytes:
    """Return the same encoded pictures without comments, application data (XMP) and bytes behind the end."""
    kept = [data[: _first_block(data)]]
    kept.extend(data[block.start : block.end] for block in bounded(_blocks(data)) if not _is_metadata(data, block))
    return b"".join([*kept, bytes([_TRAILER])])


def _is_metadata(data: bytes, block: _Block) -> bool:
    if block.kind != _EXTENSION:
        return False
    if block.label == _APPLICATION:
        return data[block.start + 3 : block.start + 14] not in _LOOPS
    return block.label == _COMMENT
