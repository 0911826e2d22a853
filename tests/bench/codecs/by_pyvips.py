"""JPEG to a smaller JPEG by pyvips, with as little as it takes."""

from __future__ import annotations

import pyvips

pyvips.cache_set_max(0)
pyvips.concurrency_set(1)


def compress(data: bytes, *, quality: int, optimise: bool) -> bytes:
    """Compress, upright and without metadata."""
    image = pyvips.Image.jpegload_buffer(data, access="sequential").autorot()
    compressed: bytes = image.jpegsave_buffer(Q=quality, optimize_coding=optimise, keep="none")
    return compressed
