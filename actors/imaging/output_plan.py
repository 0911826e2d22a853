"""The plan of an output: its formats, its frames and its size, each decided once and before any pixel is decoded.

The header tells the formats and the frames. The size follows when the decoder has opened the file. Only the decoder
tells the orientation, and a header may claim a larger canvas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.formats import ANIMATED_FORMATS, PROFILE_FORMATS, SourceFormat
from actors.imaging.transform import is_sideways
from cluster.records import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.imaging.transform import Size
    from cluster.options import OutputOptions

_DECODED_ANIMATIONS = frozenset({SourceFormat.GIF, SourceFormat.WEBP})  # of a PNG the decoder reads one frame


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatPlan:
    """The decisions about one output for which the header is enough.

    Attributes:
        options: The client's options for this output.
        formats: The formats to try. The smallest file wins.
        own_format: The one of `formats` that is the source's format, or None.
        keeps_frames: Whether the output is an animation.
        loses_frames: Whether the source is an animation of which encoding leaves one frame.
        keeps_profile: Whether colours stay in the space of the embedded profile.
    """

    options: OutputOptions
    formats: tuple[ImageFormat, ...]
    own_format: ImageFormat | None
    keeps_frames: bool
    loses_frames: bool
    keeps_profile: bool

    def sized(self, full: Size, *, orientation: int) -> OutputPlan:
        """Return the whole plan.

        Args:
            full: The size of one frame as it is stored.
            orientation: Its EXIF orientation, 1 to 8.
        """
        width, height = self.options.max_width, self.options.max_height
        size = full.fitted(height, width) if is_sideways(orientation) else full.fitted(width, height)
        return OutputPlan(
            options=self.options,
            formats=self.formats,
            own_format=self.own_format,
            keeps_frames=self.keeps_frames,
            loses_frames=self.loses_frames,
            keeps_profile=self.keeps_profile,
            size=size,
            unchanged_format=self.own_format if size == full else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan(FormatPlan):
    """All decisions about one output.

    Attributes:
        size: The size before the picture is turned upright.
        unchanged_format: The one of `formats` in which the output keeps the source's format and size, or None.
    """

    size: Size
    unchanged_format: ImageFormat | None


def plan_formats(options: OutputOptions, *, source: SourceFormat, frames: int) -> FormatPlan:
    """Decide the formats and the frames of an output, before its source is opened.

    Args:
        options: The client's options for this output.
        source: The format of the source.
        frames: The number of its frames.
    """
    loads_frames = frames > 1 and source in _DECODED_ANIMATIONS
    formats = _requested_formats(source, options)
    if frames > 1:
        formats = _moving(formats, loads_frames=loads_frames) or formats
    keeps_frames = loads_frames and formats[0] in ANIMATED_FORMATS
    return FormatPlan(
        options=options,
        formats=formats,
        own_format=next((each for each in formats if each.value == source.value), None),
        keeps_frames=keeps_frames,
        loses_frames=frames > 1 and not keeps_frames,
        keeps_profile=options.keep_metadata and set(formats) <= PROFILE_FORMATS,
    )


def _requested_formats(source: SourceFormat, options: OutputOptions) -> tuple[ImageFormat, ...]:
    wanted: Sequence[str] = options.formats if options.format == "auto" else [options.format]
    return tuple(dict.fromkeys(_output_format(source, each) for each in wanted))


def _output_format(source: SourceFormat, wanted: str) -> ImageFormat:
    """Return the output format. `keep` makes a PNG of a BMP, which is lossless too and made for the web."""
    if wanted != "keep":
        return ImageFormat(wanted)
    return ImageFormat.PNG if source is SourceFormat.BMP else ImageFormat(source.value)


def _moving(formats: tuple[ImageFormat, ...], *, loads_frames: bool) -> tuple[ImageFormat, ...]:
    """Return the formats in which an animation still moves. An animated PNG moves only where it is handed on."""
    can_move = ANIMATED_FORMATS if loads_frames else {ImageFormat.PNG}
    return tuple(each for each in formats if each in can_move)
