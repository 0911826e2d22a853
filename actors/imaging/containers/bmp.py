"""The information header of a BMP. Sources: Microsoft, "Bitmap Header Types", and IBM, "OS/2 bitmap"."""

from __future__ import annotations

from actors.imaging.header import Header, corrupt, unpack
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

_CORE_HEADER_BYTES = 12
_RUN_LENGTHS = frozenset({1, 2})
_MAX_RUN_LENGTH_PIXELS = 1_000_000
_MAX_PIXEL_BYTES = 4  # the most that any encoding takes; run lengths take two
_MAX_PADDING_PIXELS = 4  # the padding of a row
_MAX_OTHER_BYTES = 1024 * 1024  # headers, palette and profile


def read_header(data: bytes) -> Header:
    """Read the size. A negative height means that the rows go from top to bottom.

    Raises:
        ImageError: `corrupt_image`, or `unsupported_format` for run lengths of too many pixels. Pillow decodes run
            lengths in a Python loop, and the limit is about one second of it.
    """
    is_core = unpack("<I", data, 14)[0] == _CORE_HEADER_BYTES
    width, height = unpack("<HH" if is_core else "<ii", data, 18)
    height = abs(height)
    if len(data) > _MAX_PIXEL_BYTES * (width + _MAX_PADDING_PIXELS) * height + _MAX_OTHER_BYTES:
        raise corrupt("it has more data than pixels")
    is_run_length = not is_core and unpack("<I", data, 30)[0] in _RUN_LENGTHS
    if is_run_length and width * height > _MAX_RUN_LENGTH_PIXELS:
        message = "The image is a large BMP with run-length encoding. Save it as PNG, or as BMP without compression."
        raise ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, message)
    return Header(width=width, height=height, is_buffered=True)
