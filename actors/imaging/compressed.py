"""A finished output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.records import Decision, ImageFormat


@dataclass(frozen=True, slots=True)
class Compressed:
    """A finished output.

    Attributes:
        data: The file.
        width: The width in pixels; of an animation, the width of one frame.
        height: The height in pixels, counted in the same way.
        format: The format of the file.
        quality: The quality of the encoding. None where the format has none, or where the picture is the source's own.
        decision: Whether these are the bytes of the source.
    """

    data: bytes
    width: int
    height: int
    format: ImageFormat
    quality: int | None
    decision: Decision
