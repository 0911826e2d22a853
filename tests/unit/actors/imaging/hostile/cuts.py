"""Valid pictures that lose their ends or are changed at random, in the same way every time."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from tests.unit.actors.imaging.hostile.case import CORRUPT, FRAMES, PIXELS, READABLE, STRANGE, UNSUPPORTED
from tests.unit.actors.imaging.pictures import photo, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIBIBYTE = 1024
MUTATIONS = 300
HARM = frozenset({READABLE, CORRUPT, STRANGE, UNSUPPORTED, PIXELS, FRAMES})
"""The codes of a picture in which anything may have changed, its size and its format too."""

_LARGE: dict[str, tuple[str, tuple[int, int], dict[str, object]]] = {
    "jpeg": ("JPEG", (480, 360), {"quality": 90, "subsampling": 0}),
    "progressive jpeg": ("JPEG", (480, 360), {"quality": 90, "subsampling": 0, "progressive": True}),
    "png": ("PNG", (160, 120), {}),
    "webp": ("WEBP", (640, 480), {"quality": 95}),
    "lossless webp": ("WEBP", (160, 120), {"lossless": True}),
    "gif": ("GIF", (240, 180), {}),
    "avif": ("AVIF", (480, 360), {"quality": 90}),
    "tiff": ("TIFF", (120, 90), {}),
    "deflated tiff": ("TIFF", (160, 120), {"compression": "tiff_adobe_deflate"}),
    "bmp": ("BMP", (120, 90), {}),
}
LARGE_NAMES = tuple(_LARGE)


def truncations(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the picture, cut off at every kilobyte."""
    kind, size, how = _LARGE[name]
    source = save(photo(*size), kind, **how)
    for length in range(KIBIBYTE, len(source), KIBIBYTE):
        yield f"{name} cut at {length:,} of {len(source):,}", source[:length]


@cache
def _small() -> dict[str, bytes]:
    frames = [photo(40, 30, seed) for seed in range(3)]
    several = {"save_all": True, "append_images": frames[1:], "duration": 50}
    return {
        "jpeg": save(frames[0], "JPEG"),
        "progressive jpeg": save(frames[0], "JPEG", progressive=True),
        "cmyk jpeg": save(frames[0].convert("CMYK"), "JPEG"),
        "png": save(frames[0], "PNG"),
        "palette png": save(frames[0].convert("P"), "PNG", transparency=3),
        "animated png": save(frames[0], "PNG", **several),
        "webp": save(frames[0], "WEBP"),
        "lossless webp": save(frames[0], "WEBP", lossless=True),
        "animated webp": save(frames[0], "WEBP", **several),
        "gif": save(frames[0], "GIF"),
        "animated gif": save(frames[0], "GIF", **several),
        "avif": save(frames[0], "AVIF"),
        "tiff": save(frames[0], "TIFF"),
        "lzw tiff": save(frames[0], "TIFF", compression="tiff_lzw"),
        "jpeg tiff": save(frames[0], "TIFF", compression="jpeg"),
        "bmp": save(frames[0], "BMP"),
        "palette bmp": save(frames[0].convert("P"), "BMP"),
    }


def mutations() -> Iterator[tuple[str, bytes]]:
    """Yield small pictures of all kinds, each changed in one to four places."""
    names = list(_small())
    for number in range(MUTATIONS):
        name = names[number % len(names)]
        dice = random.Random(number)  # noqa: S311 - must repeat
        data, done = _small()[name], []
        for _ in range(dice.randint(1, 4)):
            change = dice.choice(_CHANGES)
            data = change(data, dice)
            done.append(change.__name__.strip("_"))
        yield f"{name} {number}: {', '.join(done)}", data


def _places(data: bytes, dice: random.Random, count: int) -> list[int]:
    """Choose places in the file, half of them in its header."""
    reach = len(data) if dice.random() < 0.5 else min(200, len(data))
    return sorted(dice.randrange(reach + 1) for _ in range(count))


def _flip_bits(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for at in _places(data, dice, dice.randint(1, 8)):
        changed[min(at, len(data) - 1)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _write_extremes(data: bytes, dice: random.Random) -> bytes:
    (at,) = _places(data, dice, 1)
    extreme = dice.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * dice.choice([1, 2, 4, 8])
    return data[:at] + extreme + data[at + len(extreme) :]


def _swap_parts(data: bytes, dice: random.Random) -> bytes:
    a, b, c, d = _places(data, dice, 4)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _repeat_part(data: bytes, dice: random.Random) -> bytes:
    a, b = _places(data, dice, 2)
    return data[:b] + data[a:b] * dice.choice([1, 2, 50]) + data[b:]


def _leave_out_part(data: bytes, dice: random.Random) -> bytes:
    a, b = _places(data, dice, 2)
    return data[:a] + data[b:] if b - a < len(data) else data


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _write_extremes,
    _swap_parts,
    _repeat_part,
    _leave_out_part,
)
