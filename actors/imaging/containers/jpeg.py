"""The marker segments of a JPEG. Source: ITU-T T.81, annex B."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.imaging.header import Header, bounded, corrupt, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOI_BYTES = 2
_SOS = 0xDA
_EOI = 0xD9
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_ANY_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
# APP1 to APP13, APP15 and comments. APP0 (JFIF) and APP14 (Adobe) say how to read the colours.
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
_MAX_SCANS = 100  # encoders write about ten, and each costs a pass over the whole picture


@dataclass(frozen=True, slots=True)
class _Segment:
    marker: int
    start: int  # the position of the 0xFF
    end: int  # the end of a scan is behind its entropy-coded data


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments from SOI to EOI. Garbage between them is skipped, as libjpeg does."""
    at = _SOI_BYTES
    while found := _ANY_MARKER.search(data, at):
        start = found.start()
        marker = data[start + 1]
        at = start + 2
        if marker not in _STANDALONE and marker != _EOI:
            at += unpack(">H", data, at)[0]
        if marker == _SOS:
            following = _MARKER_IN_SCAN.search(data, at)
            at = following.start() if following else len(data)
        yield _Segment(marker, start, at)
        if marker == _EOI:
            return


def read_header(data: bytes) -> Header:
    """Read the size, and the scans when all of them must be collected before a pixel is known.

    Raises:
        ImageError: `corrupt_image`.
    """
    frame: _Segment | None = None
    multiscan = False
    scans = 0
    for segment in bounded(_segments(data)):
        if segment.marker in _FRAME_HEADERS and frame is None:
            frame = segment
        if segment.marker == _SOS and frame is not None:
            scans += 1
            multiscan = multiscan or frame.marker in _PROGRESSIVE or _is_partial(data, segment, frame)
            if not multiscan:
                break
            if scans > _MAX_SCANS:
                raise corrupt(f"it has more than {_MAX_SCANS} scans")
    if frame is None or not scans:
        raise corrupt("it has no picture in it")
    height, width, components = unpack(">HHB", data, frame.start + 5)
    if not multiscan:
        return Header(width=width, height=height)
    return Header(width=width, height=height, scans=max(2, scans), colours=max(3, components))


def _is_partial(data: bytes, scan: _Segment, frame: _Segment) -> bool:
    """Return whether the scan has fewer components than the frame."""
    in_scan, in_frame = unpack("B", data, scan.start + 4)[0], unpack("B", data, frame.start + 9)[0]
    return bool(in_scan < in_frame)


def without_metadata(data: bytes) -> bytes:
    """Return the same encoded picture without EXIF, XMP, IPTC, profile, comments and bytes behind the end."""
    kept = [data[:_SOI_BYTES]]
    kept.extend(
        data[segment.start : segment.end] for segment in bounded(_segments(data)) if segment.marker not in _METADATA
    )
    return b"".join(kept)
