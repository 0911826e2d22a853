"""The description of a hostile file, and the codes in which it may end."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = "readable"
CORRUPT = "corrupt_image"
PIXELS = "too_many_pixels"
FRAMES = "too_many_frames"
UNSUPPORTED = "unsupported_format"
STRANGE = "not_an_image"
EMPTY = "empty"

MEBIBYTE = 1 << 20
ADLER_MODULUS = 65_521

WAYS: dict[str, dict[str, object]] = {"kept": {}, "shrunk": {"format": "jpeg", "max_width": 64}}
"""The options that each file is opened with: the defaults, and others that lead to another kind of decoding."""
KEPT_ONLY = ("kept",)
"""The choice for files that cost much work of a kind that does not depend on the options."""
SHRUNK_ONLY = ("shrunk",)
"""The choice for honest pictures of full size, in a format whose encoder takes a minute for one."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file that is made when it is needed.

    Attributes:
        make: The function that makes its bytes, the same ones every time.
        expected: The codes that it may end in, `readable` among them when a picture may come out.
        ways: The names of the options that it is opened with.
    """

    make: Callable[[], bytes]
    expected: frozenset[str]
    ways: tuple[str, ...]


def ends(make: Callable[[], bytes], *expected: str, ways: tuple[str, ...] = tuple(WAYS)) -> Hostile:
    return Hostile(make, frozenset(expected), ways)


def deflated(size: int) -> bytes:
    """Compress zeros by zlib, to a thousandth of their size. All whole mebibytes are one block, repeated."""
    whole, rest = divmod(size, MEBIBYTE)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = _packed_mebibyte() * whole + packer.compress(bytes(rest)) + packer.flush()
    checksum = (size % ADLER_MODULUS) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + body + checksum.to_bytes(4, "big")


@cache
def _packed_mebibyte() -> bytes:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
