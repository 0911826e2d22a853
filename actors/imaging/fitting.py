"""The search for the largest quality at which a file is small enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.options import OutputOptions


class Encoded(NamedTuple):
    """A picture as a file."""

    data: bytes
    quality: int | None  # None where the format has no quality


def fits(data: bytes, options: OutputOptions) -> bool:
    """Return whether a file is as small as the options ask."""
    return options.max_bytes is None or len(data) <= options.max_bytes


def largest_fitting(
    encode: Callable[[int], bytes], *, max_bytes: int, lowest_quality: int, below_quality: int
) -> Encoded | None:
    """Bisect for the largest quality from `lowest_quality` to below `below_quality` that fits.

    A file mostly grows with its quality, but not always. The result fits, and its quality is the largest to a step or
    two.

    Args:
        encode: The function from a quality to a file. It is called at most eight times.
        max_bytes: The largest size of the file that fits.
        lowest_quality: The first quality that is good enough.
        below_quality: The first quality that is known not to fit.

    Returns:
        None when not even the lowest quality fits.
    """
    best: Encoded | None = None
    low, high = lowest_quality, below_quality - 1
    while low <= high:
        quality = (low + high + 1) // 2 if best else low  # the lowest first: if it does not fit, none does
        data = encode(quality)
        if len(data) > max_bytes:
            high = quality - 1
        else:
            best, low = Encoded(data, quality), quality + 1
        if best is None:
            return None
    return best
