"""The source: an image file that has passed the gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from actors.imaging.formats import SourceFormat, identify
from actors.imaging.gate import Limits, check, read_header
from actors.imaging.transform import Size

if TYPE_CHECKING:
    from actors.imaging.header import Header
    from actors.imaging.libvips import VipsImage


@dataclass(frozen=True, slots=True)
class Source:
    """An image file that may be decoded.

    Attributes:
        data: The file.
        format: The format that its first bytes tell.
        header: The facts that its header tells.
    """

    data: bytes
    format: SourceFormat
    header: Header

    @classmethod
    def read(cls, data: bytes, limits: Limits) -> Self:
        """Identify a file and check it against the limits. Nothing is decoded.

        Raises:
            ImageError: `empty`, `not_an_image`, `unsupported_format`, `corrupt_image`, `too_many_pixels` or
                `too_many_frames`.
        """
        source_format = identify(data)
        header = read_header(data, source_format)
        check(header, source_format, limits)
        return cls(data, source_format, header)


def check_opened(image: VipsImage, source: Source, limits: Limits) -> None:
    """Check the limits again, by the size that the decoder is about to decode.

    The decoder has a parser of its own, which may read the same header differently.

    Raises:
        ImageError: `too_many_pixels` or `too_many_frames`.
    """
    size = Size.of(image)
    frames = image.height // size.height
    header = replace(source.header, width=size.width, height=size.height, frames=frames)
    check(header, source.format, limits)
