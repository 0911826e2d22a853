"""The facts in a file's header, and the helpers that the parsers of all containers share.

The parsers read only the numbers that a decoder trusts before it allocates: sizes, frames, scans. They allocate nothing
and follow no offset that they have not checked. Their number of steps is bounded.
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
"""The most chunks, boxes or segments of one file. A PNG of 64 MiB in pieces of 8 KiB has 8,192."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts on which the gate decides.

    Attributes:
        width: The width in pixels as stored, before orientation; of an animation, the width of its canvas.
        height: The height in pixels, counted in the same way.
        frames: The pictures of an animation; 1 for a still.
        scans: The scans of a JPEG that the decoder must hold in memory whole; 1 for all others. Such a JPEG is
            progressive, or has a scan for each component.
        colours: The components of such a JPEG, each of which is held; 3 for all others.
        is_buffered: Whether the decoder holds several bytes of every pixel, because the format does not go row by row.
        decoded_pixels: The pixels of all parts of an AVIF; 0 for all others.
        lossless: Whether the pixels are encoded without loss, where the format has both ways (WebP, TIFF).
        page: The page of a TIFF that is taken, counted from 0.
    """

    width: int
    height: int
    frames: int = 1
    scans: int = 1
    colours: int = 3
    is_buffered: bool = False
    decoded_pixels: int = 0
    lossless: bool = False
    page: int = 0

    @property
    def coded_pixels(self) -> int:
        """The pixels that the decoder decodes."""
        return max(self.width * self.height * self.frames, self.decoded_pixels)


def corrupt(detail: str) -> ImageError:
    """Return the error for a file that breaks its format's rules. `detail` ends the sentence."""
    return ImageError(ImageErrorCode.CORRUPT_IMAGE, f"The image is damaged: {detail}. Replace the file.")


def unsupported(name: str) -> ImageError:
    """Return the error for a file that cannot be read. `name` names its kind, with an article."""
    message = f"The file is {name}, which is not supported. Use JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP."
    return ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, message)


def unpack(layout: str, data: bytes, at: int) -> tuple[Any, ...]:
    """Unpack like `struct.unpack_from`, but raise `corrupt_image` where the file is too short."""
    if at < 0 or at + struct.calcsize(layout) > len(data):
        raise corrupt("it ends too early")
    return struct.unpack_from(layout, data, at)


def bounded(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks. More than any real file has are an error."""
    for number, block in enumerate(blocks):
        if number >= MAX_BLOCKS:
            raise corrupt("it has too many parts")
        yield block
