"""What a file's header says, and what the parsers of the containers share.

The parsers read only what a decoder would trust before it allocates: sizes, frames, scans. They allocate nothing,
follow no offset that they have not checked, and are bounded in steps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Block = TypeVar("Block")

MAX_BLOCKS = 100_000
"""Chunks, boxes or segments of one file; a PNG of 64 MiB in pieces of 8 KiB has 8,192."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts on which the gate decides.

    Attributes:
        width: Pixels of the file as stored, before orientation; of the canvas, when animated.
        height: Pixels, likewise.
        frames: Pictures of the animation; 1 for a still.
        scans: Of a JPEG that a decoder must hold in memory whole: progressive, or with a scan per component; else 1.
        colours: Components of such a JPEG, each of which is held; 3 for all others.
        is_buffered: Whether the decoder holds several bytes of every pixel, because the format does not go row by row.
        lossless: How the pixels are coded, where the format has both ways (WebP, TIFF).
    """

    width: int
    height: int
    frames: int = 1
    scans: int = 1
    colours: int = 3
    is_buffered: bool = False
    lossless: bool = False


def corrupt(detail: str) -> ImageError:
    """The error of a file that breaks its format's rules; `detail` ends the sentence."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, f"The image is damaged: {detail}.")


def unpack(layout: str, data: bytes, at: int) -> tuple[Any, ...]:
    """`struct.unpack_from` that says `corrupt_image` where the file is too short."""
    if at < 0 or at + struct.calcsize(layout) > len(data):
        raise corrupt("it ends too early")
    return struct.unpack_from(layout, data, at)


def bounded(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, until there are more than any real file has."""
    for number, block in enumerate(blocks):
        if number >= MAX_BLOCKS:
            raise corrupt("it has too many parts")
        yield block
