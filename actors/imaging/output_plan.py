"""The plan of an output: its formats, its size and its frames, decided once and before any pixel is decoded."""

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
class OutputPlan:
    """The decisions about one output.

    Attributes:
        options: The client's options for this output.
        formats: The formats to try. The smallest file wins.
        size: The size before the picture is turned upright.
        unchanged_format: The one of `formats` in which the output keeps the source's format and size, or None.
        loses_frames: Whether the source is an animation of which encoding leaves one frame.
        keeps_profile: Whether colours stay in the space of the embedded profile.
    """

    options: OutputOptions
    formats: tuple[ImageFormat, ...]
    size: Size
    unchanged_format: ImageFormat | None
    loses_frames: bool
    keeps_profile: bool


def keeps_frames(options: OutputOptions, *, source: SourceFormat, frames: int) -> bool:
    """Return whether an output is an animation. This is known before the source is opened.

    Args:
        options: The client's options for this output.
        source: The format of the source.
        frames: The number of its frames.
    """
    return _loads_frames(source, frames) and _formats(source, frames, options)[0] in ANIMATED_FORMATS


def plan_output(
    options: OutputOptions, *, source: SourceFormat, frames: int, full: Size, orientation: int
) -> OutputPlan:
    """Decide how an output is made.

    Args:
        options: The client's options for this output.
        source: The format of the source.
        frames: The number of its frames.
        full: The size of one frame as it is stored.
        orientation: Its EXIF orientation, 1 to 8.
    """
    formats = _formats(source, frames, options)
    width, height = options.max_width, options.max_height
    size = full.fitted(height, width) if is_sideways(orientation) else full.fitted(width, height)
    return OutputPlan(
        options=options,
        formats=formats,
        size=size,
        unchanged_format=next((each for each in formats if each.value == source.value and size == full), None),
        loses_frames=frames > 1 and not keeps_frames(options, source=source, frames=frames),
        keeps_profile=options.keep_metadata and set(formats) <= PROFILE_FORMATS,
    )


def _loads_frames(source: SourceFormat, frames: int) -> bool:
    return frames > 1 and source in _DECODED_ANIMATIONS


def _formats(source: SourceFormat, frames: int, options: OutputOptions) -> tuple[ImageFormat, ...]:
    requested = _requested_formats(source, options)
    if frames <= 1:
        return requested
    return _moving(requested, loads_frames=_loads_frames(source, frames)) or requested


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
