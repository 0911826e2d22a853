"""Product-like photographs: the demo's real ones, cropped to one size, with the noise of a camera's sensor.

Without the noise an enlarged photograph is smoother than any that a camera took, and too cheap to decode and encode.
Files are made once, the same on every machine with the same Pillow, and kept in a temporary folder.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 1936, 1290  # 2.5 megapixels
DIFFERENT = 20
_PHOTOGRAPHS = Path(__file__).parents[2] / "deployments" / "demo" / "pictures"
_QUALITY = 92
_MIN_BYTES, _MAX_BYTES = 400_000, 800_000
_NOISE_LEVELS = (2.5, 3.5, 2.0, 4.5, 1.5, 5.5, 1.0, 6.5, 0.5, 0.0)  # standard deviations of an 8-bit value
_OF_A_KIND = 5


class Kind(NamedTuple):
    """Files of one kind in the mix.

    Attributes:
        share: How many of a thousand images.
        format: As Pillow names it.
        width: Pixels.
        height: Pixels.
        options: Of Pillow's encoder.
    """

    share: int
    format: str
    width: int
    height: int
    options: dict[str, int]


MIX = (
    Kind(400, "JPEG", 640, 480, {"quality": 90}),
    Kind(230, "JPEG", 800, 600, {"quality": 92}),
    Kind(150, "JPEG", 1200, 900, {"quality": 92}),
    Kind(98, "JPEG", 700, 700, {"quality": 85, "progressive": 1}),
    Kind(60, "PNG", 320, 240, {}),
    Kind(60, "WEBP", 480, 360, {"quality": 85}),
    Kind(2, "JPEG", 6000, 4000, {"quality": 90}),
)
"""The mix of a catalogue. The shares add up to 1,000."""


def product_photographs() -> list[Path]:
    """Return photographs of 2.5 megapixels, JPEG 4:2:0 of quality 92 and 400 to 800 KB."""
    return [_kept(f"photograph-{number}.jpg", _Photograph(number).make) for number in range(DIFFERENT)]


def mixed_pictures() -> list[tuple[Kind, list[Path]]]:
    """Return a few different files of each kind of the mix."""
    return [
        (
            kind,
            [
                _kept(f"mix-{index}-{number}.{kind.format.lower()}", _Mixed(kind, number).make)
                for number in range(_OF_A_KIND)
            ],
        )
        for index, kind in enumerate(MIX)
    ]


class _Photograph(NamedTuple):
    """One of the product photographs, by its number."""

    number: int

    def make(self) -> bytes:
        """Make the file with the noise that gives it the size of such photographs."""
        picture = _fitted(self.number, WIDTH, HEIGHT)
        for level in _NOISE_LEVELS:
            data = _saved(_with_noise(picture, level, self.number), "JPEG", {"quality": _QUALITY, "subsampling": 2})
            if _MIN_BYTES <= len(data) <= _MAX_BYTES:
                return data
        raise ValueError(f"photograph {self.number} has {len(data):,} bytes at every level of noise")


class _Mixed(NamedTuple):
    """One file of a kind, by its number."""

    kind: Kind
    number: int

    def make(self) -> bytes:
        picture = _fitted(self.number, self.kind.width, self.kind.height)
        return _saved(_with_noise(picture, 1.0, self.number), self.kind.format, self.kind.options)


def _kept(name: str, make: Callable[[], bytes]) -> Path:
    """Return the file of that name. Make it if it is not there yet."""
    version = hashlib.sha256(Path(__file__).read_bytes() + pillow_version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"darkroom-bench-{version}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    if not path.exists():
        partial = path.with_suffix(".part")
        partial.write_bytes(make())
        partial.replace(path)
    return path


def _fitted(number: int, width: int, height: int) -> Image.Image:
    """Return the number-th largest of the demo's photographs, upright and cropped to the size."""
    with Image.open(_largest_photographs()[number]) as photograph:
        return ImageOps.fit(ImageOps.exif_transpose(photograph), (width, height), Image.Resampling.LANCZOS)


def _largest_photographs() -> list[Path]:
    sizes: list[tuple[int, Path]] = []
    for path in _PHOTOGRAPHS.glob("*.jpg"):
        with Image.open(path) as photograph:
            if photograph.mode == "RGB":
                sizes.append((-photograph.width * photograph.height, path))
    return [path for _, path in sorted(sizes)]


def _with_noise(picture: Image.Image, level: float, seed: int) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + level * noise), 0, 255).astype(np.uint8))


def _saved(picture: Image.Image, file_format: str, options: dict[str, int]) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()
