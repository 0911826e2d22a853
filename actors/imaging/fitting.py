"""The largest quality whose file is not larger than it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Coded(NamedTuple):
    """A picture as a file."""

    data: bytes
    quality: int | None  # None where there is none to set


def largest_fitting(
    encode: Callable[[int], bytes], *, max_bytes: int, lowest_quality: int, below_quality: int
) -> Coded | None:
    """Bisect for the largest quality from `lowest_quality` to below `below_quality` that fits.

    A file mostly grows with its quality, but not always: what is found fits, and it is the largest to a step or two.

    Args:
        encode: From a quality to a file; called at most eight times.
        max_bytes: Of the file.
        lowest_quality: The first quality that is good enough.
        below_quality: The first quality that is known not to fit.

    Returns:
        None when not even the lowest quality fits.
    """
    best: Coded | None = None
    low, high = lowest_quality, below_quality - 1
    while low <= high:
        quality = (low + high + 1) // 2 if best else low  # the lowest first: where that does not fit, nothing does
        data = encode(quality)
        if len(data) > max_bytes:
            high = quality - 1
        else:
            best, low = Coded(data, quality), quality + 1
        if best is None:
            return None
    return best
