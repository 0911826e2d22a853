"""The CPU time that the decoder of an image needs, as far as its header tells.

The rates are those of ordinary photographs, with a factor for slower machines. They were measured on photographs of the
demo, side by side in 6 megapixels, decoded whole by one thread of a busy machine. In CPU milliseconds a megapixel:

- JPEG: 4.4 (quality 90) and 7.6 (98, 4:4:4). Progressive, of 10 scans: 10 and 19.
- PNG: 15, with 16 bits 26, interlaced 27. GIF: 10. BMP: 9. TIFF: 2 (raw), 7 (JPEG), 9 (deflate) and 17 (LZW).
- WebP: 17 (80) and 24 (98), lossless 26.
- AVIF: 35 (60), 51 (90) and 65 (95, 4:4:4), with 10 bits 48, with alpha 55.

A header does not tell how hard its data is. Noise takes up to four times as long, and an arithmetic JPEG takes longer
than another one. The time of the encoder is no part of the estimate.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from actors.imaging.formats import SourceFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.imaging.header import Header

_SECONDS_PER_MEGAPIXEL: Mapping[SourceFormat, float] = MappingProxyType(
    {
        SourceFormat.JPEG: 0.015,
        SourceFormat.PNG: 0.04,
        SourceFormat.GIF: 0.025,
        SourceFormat.WEBP: 0.07,
        SourceFormat.AVIF: 0.075,
        SourceFormat.TIFF: 0.035,
        SourceFormat.BMP: 0.015,
    },
)
_SECONDS_PER_MEGAPIXEL_AND_SCAN = 0.006  # of a JPEG that is held in memory while its scans are decoded


def cpu_seconds(header: Header, source: SourceFormat) -> float:
    """Return the CPU seconds that the decoder is expected to need."""
    scans = header.scans if header.scans > 1 else 0
    rate = _SECONDS_PER_MEGAPIXEL[source] + _SECONDS_PER_MEGAPIXEL_AND_SCAN * scans
    return header.coded_pixels / 1_000_000 * rate
