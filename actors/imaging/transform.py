"""Geometry and background: shrink to fit, turn upright, flatten alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from actors.imaging.libvips import VipsImage, pyvips

_SIDEWAYS = frozenset({5, 6, 7, 8})  # the EXIF orientations that exchange width and height
_UPRIGHT = 1
_LAST_ORIENTATION = 8
_DECODER_SHRINKS = (8, 4, 2)


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def fitted(self, max_width: int | None, max_height: int | None) -> Size:
        """Return the largest size of the same aspect within both bounds. It is never larger than this one."""
        scale = min(1.0, (max_width or self.width) / self.width, (max_height or self.height) / self.height)
        return Size(max(1, round(self.width * scale)), max(1, round(self.height * scale)))

    @classmethod
    def of(cls, image: VipsImage) -> Self:
        """Return the size of a picture, or of one frame of an animation."""
        return cls(image.width, image.get_page_height())


def orientation(image: VipsImage) -> int:
    """Return the EXIF orientation, 1 to 8. An absent or invalid one counts as 1."""
    value = image.get("orientation") if image.get_typeof("orientation") else _UPRIGHT
    return value if _UPRIGHT <= value <= _LAST_ORIENTATION else _UPRIGHT


def is_sideways(orientation: int) -> bool:
    """Return whether turning a picture of this EXIF orientation upright exchanges its width and height."""
    return orientation in _SIDEWAYS


def decoder_shrink(full: Size, wanted: Size) -> int:
    """Return the factor by which a JPEG decoder may shrink. At least a halving is left for the better filter."""
    reduction = min(full.width / wanted.width, full.height / wanted.height)
    return next((shrink for shrink in _DECODER_SHRINKS if reduction >= shrink * 2), 1)


def first_frame(image: VipsImage) -> VipsImage:
    """Return the first frame of an animation."""
    size = Size.of(image)
    if image.height == size.height:
        return image
    frame = image.crop(0, 0, size.width, size.height).copy()
    frame.remove("page-height")
    return frame


def resize(image: VipsImage, wanted: Size) -> VipsImage:
    """Return the picture at a size. An animation is resized frame by frame, so that none bleeds into the next."""
    size = Size.of(image)
    if size == wanted:
        return image
    if image.height == size.height:
        return _resize_frame(image, wanted)
    frames = [
        _resize_frame(image.crop(0, top, size.width, size.height), wanted)
        for top in range(0, image.height, size.height)
    ]
    strip = pyvips.Image.arrayjoin(frames, across=1)
    strip.set_type(pyvips.GValue.gint_type, "page-height", wanted.height)
    return strip


def _resize_frame(frame: VipsImage, wanted: Size) -> VipsImage:
    scale, vertical_scale = wanted.width / frame.width, wanted.height / frame.height
    if not frame.hasalpha():
        return frame.resize(scale, vscale=vertical_scale)
    # Premultiplied, or the colour under transparent pixels would shine through at the edges.
    resized = frame.premultiply().resize(scale, vscale=vertical_scale).unpremultiply()
    return resized.cast(frame.format)


def upright(image: VipsImage) -> VipsImage:
    """Turn the picture upright and reset its orientation tag."""
    if orientation(image) == _UPRIGHT:
        return image
    return image.copy_memory().autorot()  # a stream from top to bottom cannot be turned


def flatten(image: VipsImage, background: str) -> VipsImage:
    """Return the picture over an opaque background, given as `#rrggbb`.

    A coloured background makes a grey picture sRGB.
    """
    if not image.hasalpha():
        return image
    colour = list(bytes.fromhex(background.removeprefix("#")))
    if image.interpretation == "b-w":
        if len(set(colour)) == 1:
            return image.flatten(background=colour[:1])
        image = image.colourspace("srgb")
    return image.flatten(background=colour)
