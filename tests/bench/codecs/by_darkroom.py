"""JPEG to a smaller JPEG by Darkroom: with its gate, its never-worse rule and its colour management."""

from __future__ import annotations

import functools

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress as compress_image
from actors.imaging.gate import Limits
from cluster.options import ImageOptions
from cluster.settings import Settings

keep_freed_memory()


def compress(data: bytes, *, quality: int, optimise: bool) -> bytes:
    """Compress, upright and without metadata."""
    [output] = compress_image(data, _options(quality, optimise), limits())
    return output.data


@functools.lru_cache
def limits() -> Limits:
    """Return the limits of a service by default."""
    return Limits.of(Settings())


@functools.lru_cache
def _options(quality: int, optimise: bool) -> ImageOptions:  # noqa: FBT001 - a cache takes its arguments as they come
    return ImageOptions.model_validate({"quality": quality, **({} if optimise else {"effort": "fast"})})
