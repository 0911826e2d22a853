"""The checks that an output shows the picture of its source, by libraries that did not make the output.

Sources:

- colour difference: CIEDE2000 by libvips;
- structural similarity: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
  Structural Similarity" (2004), with a Gaussian window of 1.5 pixels, K1 = 0.01, K2 = 0.03;
- shifts: the method of Lucas and Kanade (1981).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, ImageSequence

from actors.imaging.libvips import VipsImage, pyvips
from tests.unit.actors.imaging.corpus import profile

if TYPE_CHECKING:
    import numpy.typing as npt

    from actors.imaging.compressed import Compressed

    Plane = npt.NDArray[np.float64]

WHITE = (255, 255, 255)
ANIMATED = frozenset({"GIF", "WEBP", "PNG"})  # in other formats Pillow counts pages, or a gain map, as frames
RADIUS, SIGMA = 5, 1.5
REDUCTION = 8
LUMA_RANGE = 255
C1, C2 = (0.01 * LUMA_RANGE) ** 2, (0.03 * LUMA_RANGE) ** 2
LARGEST_SHIFT = 0.15
"""The largest shift in pixels. A wrong one is half a pixel, and lossy encoding alone stays far below the limit."""
FLAT = 40.0
"""The mean squared gradient below which a plane has no edges that would show a shift."""
LUMA_ONLY_SIDE = 32
"""The side in pixels up to which shifts are not checked: one block of a codec is too large a part of the picture."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far an output may be from its reference.

    Attributes:
        difference: The mean CIEDE2000.
        tint: The mean CIEDE2000 of both pictures reduced eight times. Encoding leaves averages as they are.
        similarity: The lowest mean structural similarity of luma.
    """

    difference: float
    tint: float
    similarity: float

    def times(self, factor: float) -> Bounds:
        """Return the bounds for a picture that loses more."""
        return Bounds(self.difference * factor, self.tint * factor, 1 - (1 - self.similarity) * factor)


LOSSY = {40: Bounds(6.0, 1.8, 0.925), 75: Bounds(5.0, 1.3, 0.94), 90: Bounds(3.0, 0.7, 0.98)}
"""The bounds for the scene at each quality. The measured values are up to a quarter less."""
EXACT = Bounds(0.05, 0.05, 0.9995)
"""The bounds of lossless encoding. The rest is rounding, of a colour conversion or of 16 bits to 8."""
AGREEMENT = Bounds(2.0, 0.6, 0.99)
"""The bounds for two decoders of the same file. The decoders of AVIF spread chroma in different ways."""
RESIZED = Bounds(1.1, 0.6, 0.99)
"""The bounds for two libraries that shrink by Lanczos."""


def array(picture: Pillow.Image) -> Plane:
    return np.asarray(picture, dtype=np.float64)


def over_white(picture: Pillow.Image) -> Pillow.Image:
    """Return the picture as RGB over white, without alpha."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    whole = picture.convert("RGBA")
    return Pillow.alpha_composite(Pillow.new("RGBA", whole.size, WHITE), whole).convert("RGB")


def alpha_of(picture: Pillow.Image) -> Plane:
    return array(picture.convert("RGBA").getchannel("A"))


def in_srgb(picture: Pillow.Image, embedded: bytes | None) -> Pillow.Image:
    """Convert the picture by its profile, with Little CMS. CMYK without a profile takes the one of libvips."""
    source = embedded or (profile("cmyk") if picture.mode == "CMYK" else None)
    if source is None:
        return picture
    converted = ImageCms.profileToProfile(
        picture,
        ImageCms.ImageCmsProfile(BytesIO(source)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted


@lru_cache(maxsize=100)
def frames_of(source: bytes) -> tuple[Pillow.Image, ...]:
    """Return all frames by Pillow as they are meant to be seen: upright, in sRGB and in 8 bits."""
    with Pillow.open(BytesIO(source)) as opened:
        frames = ImageSequence.Iterator(opened) if opened.format in ANIMATED else [opened]
        return tuple(_upright(frame) for frame in frames)


def _upright(frame: Pillow.Image) -> Pillow.Image:
    frame.load()
    embedded = frame.info.get("icc_profile")
    picture = ImageOps.exif_transpose(frame)
    if picture.mode.startswith("I;16"):
        return Pillow.fromarray((np.asarray(picture).astype(np.float64) / 257).round().astype(np.uint8))
    return in_srgb(picture, embedded)


def resized(picture: Pillow.Image, size: tuple[int, int]) -> Pillow.Image:
    if picture.size == size:
        return picture
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    plain = picture if picture.mode in {"L", "LA", "RGB", "RGBA"} else picture.convert(mode)
    return plain.resize(size, Pillow.Resampling.LANCZOS)


def by_vips(data: bytes) -> Pillow.Image:
    """Return the first frame by pyvips."""
    image = pyvips.Image.new_from_buffer(data, "").autorot()
    if image.interpretation not in {"b-w", "srgb"}:
        image = image.colourspace("srgb")
    image = image.cast("uchar")
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.bands]
    return Pillow.frombytes(mode, (image.width, image.height), image.write_to_memory())


def _lab(picture: Pillow.Image) -> VipsImage:
    image = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, 3, "uchar")
    return image.copy(interpretation="srgb").colourspace("lab")


def colour_difference(one: Pillow.Image, other: Pillow.Image) -> float:
    """Return the mean CIEDE2000 of two RGB pictures."""
    mean: float = _lab(one).dE00(_lab(other)).avg()
    return mean


@cache
def _window() -> tuple[float, ...]:
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    return tuple((weights / weights.sum()).tolist())


def _blurred(plane: Plane) -> Plane:
    """Blur the plane where the window is whole."""
    height, width = plane.shape[0] - 2 * RADIUS, plane.shape[1] - 2 * RADIUS
    rows, whole = np.zeros((height, plane.shape[1])), np.zeros((height, width))
    for at, weight in enumerate(_window()):
        rows += weight * plane[at : at + height]
    for at, weight in enumerate(_window()):
        whole += weight * rows[:, at : at + width]
    return whole


def similarity(one: Plane, other: Plane) -> float:
    """Return the mean structural similarity of two planes, or 1 when they are smaller than the window."""
    if min(one.shape) <= 2 * RADIUS:
        return 1.0
    mean_one, mean_other = _blurred(one), _blurred(other)
    variance_one = _blurred(one * one) - mean_one**2
    variance_other = _blurred(other * other) - mean_other**2
    covariance = _blurred(one * other) - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + C1) / (mean_one**2 + mean_other**2 + C1)
    structure = (2 * covariance + C2) / (variance_one + variance_other + C2)
    return float((luminance * structure).mean())


def shift(reference: Plane, plane: Plane) -> float:
    """Return by how many pixels a plane is moved against its reference, along the axis with the larger shift."""
    gradients = np.gradient(reference)
    moves = (
        float((gradient * (reference - plane)).sum() / (gradient * gradient).sum())
        for gradient in gradients
        if (gradient * gradient).mean() > FLAT
    )
    return max(map(abs, moves), default=0.0)


def planes(picture: Pillow.Image) -> tuple[Plane, Plane, Plane]:
    """Return luma and both chromas."""
    luma, blue, red = picture.convert("YCbCr").split()
    return array(luma), array(blue), array(red)


def assert_same_picture(reference: Pillow.Image, output: Pillow.Image, bounds: Bounds) -> None:
    """Assert that two pictures are alike: in size, alpha, colours and structure, with nothing moved."""
    assert output.size == reference.size
    assert np.abs(alpha_of(reference) - alpha_of(output)).mean() < 2
    one, other = over_white(reference), over_white(output)
    difference = colour_difference(one, other)
    assert difference < bounds.difference, f"colours differ by {difference:.2f}"
    tint = colour_difference(one.reduce(REDUCTION), other.reduce(REDUCTION))
    assert tint < bounds.tint, f"averages of colours differ by {tint:.2f}"
    expected, found = planes(one), planes(other)
    alike = similarity(expected[0], found[0])
    assert alike > bounds.similarity, f"the structure is alike by {alike:.4f} only"
    if min(output.size) > LUMA_ONLY_SIDE:
        moved = [round(shift(a, b), 2) for a, b in zip(expected, found, strict=True)]
        assert max(moved) < LARGEST_SHIFT, f"luma and chromas moved by {moved} pixels"


def assert_faithful(
    source: bytes,
    output: Compressed,
    bounds: Bounds,
    *,
    size: tuple[int, int] | None = None,
    original: Pillow.Image | None = None,
) -> None:
    """Assert that an output shows the picture of its source, by Pillow and by pyvips independently.

    Args:
        source: The file that was compressed.
        output: The output of that file.
        bounds: How far it may be from the source.
        size: The size that was asked for, if any.
        original: The picture in the source, when Pillow is not a second opinion on it.
    """
    expected = (original,) if original else frames_of(source)
    wanted = size or expected[0].size
    found = frames_of(output.data)
    if len(found) == 1:
        expected = expected[:1]
    assert len(found) == len(expected)
    assert (output.width, output.height) == wanted
    opened = Pillow.open(BytesIO(output.data))
    assert opened.format == output.format.upper()
    assert opened.getexif().get(0x0112, 1) == 1 or output.format == "avif"
    assert_same_picture(found[0], by_vips(output.data), AGREEMENT)
    flattened = output.format == "jpeg"
    for reference, frame in zip(expected, found, strict=True):
        picture = resized(reference, wanted)
        assert_same_picture(over_white(picture) if flattened else picture, frame, bounds)
