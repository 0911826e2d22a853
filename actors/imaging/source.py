"""A source past the gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from actors.imaging.formats import SourceFormat, identify
from actors.imaging.gate import Limits, check, read_header
from actors.imaging.transform import Size

if TYPE_CHECKING:
    from actors.imaging.header import Header
    from actors.imaging.libvips import VipsImage

_FRAMES_LOADED = frozenset({SourceFormat.GIF, SourceFormat.WEBP})


@dataclass(frozen=True, slots=True)
class Source:
    """An image file that may be decoded.

    Attributes:
        data: The file.
        format: By its first bytes.
        header: What it says about itself.
    """

    data: bytes
    format: SourceFormat
    header: Header

    @classmethod
    def read(cls, data: bytes, limits: Limits) -> Self:
        """Identify a file and hold it against the limits; nothing is decoded.

        Raises:
            ImageError: `empty`, `not_an_image`, `unsupported_format`, `corrupt_image`, `too_many_pixels` or
                `too_many_frames`.
        """
        source_format = identify(data)
        header = read_header(data, source_format)
        check(header, limits)
        return cls(data, source_format, header)

    @property
    def is_animated(self) -> bool:
        """Whether there is more than one frame."""
        return self.header.frames > 1

    @property
    def loads_frames(self) -> bool:
        """Whether there is more than one frame, and the decoder knows of all."""
        return self.is_animated and self.format in _FRAMES_LOADED


def check_opened(image: VipsImage, header: Header, limits: Limits) -> None:
    """The gate once more, by what the decoder is about to do: a second reader may read a header differently.

    Raises:
        ImageError: `too_many_pixels` or `too_many_frames`.
    """
    size = Size.of(image)
    frames = image.height // size.height
    check(replace(header, width=size.width, height=size.height, frames=frames), limits)
