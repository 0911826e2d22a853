"""Colour: every picture is converted to 8-bit sRGB or grey, the meaning that browsers give to an untagged picture.

The defaults of the conversion are those of Photoshop: relative colorimetric, with black point compensation. Source:
ICC.1:2022 (profile header and `desc`).
"""

from __future__ import annotations

import struct

from actors.imaging.libvips import VipsImage, pyvips

_PROFILE = "icc-profile-data"
_GREY = frozenset({"b-w", "grey16"})
_GREY_BANDS = 2  # grey and alpha
_COLOUR_BANDS = 3
_TAG_TABLE_AT = 128
# Only names that are known to mean sRGB with its own curve. Any other profile is converted, at worst for nothing.
_SRGB_NAMES = frozenset({"sRGB", "sRGB IEC61966-2.1", "sRGB IEC61966-2-1", "sRGB built-in", "sRGB2014", "c2", "uRGB"})


def is_srgb(image: VipsImage) -> bool:
    """Return whether the picture's numbers mean the same without any profile."""
    return image.interpretation != "cmyk" and _foreign_profile(image) is None


def to_srgb(image: VipsImage, *, keep_profile: bool = False) -> VipsImage:
    """Convert the picture to 8-bit sRGB, or to 8-bit grey when it is grey. Alpha stays.

    A profile that is broken or of another colour space than the picture is ignored, as browsers do.

    Args:
        image: The picture.
        keep_profile: Whether colours stay in their own space, with the profile that names it. CMYK is always converted.
    """
    is_grey = image.interpretation in _GREY
    if image.interpretation == "cmyk":
        image = _without_profile(_transform(image))
    elif not keep_profile:
        image = _transform(image) if _foreign_profile(image) is not None else image
        image = _without_profile(image)
    if is_grey and image.bands > _GREY_BANDS:
        image = _first_band(image)
    space = "b-w" if is_grey else "srgb"
    if image.interpretation != space:
        image = image.colourspace(space)
    image = _without_spot_colours(image, 1 if is_grey else _COLOUR_BANDS)
    return image if image.format == "uchar" else image.cast("uchar")


def _without_spot_colours(image: VipsImage, colours: int) -> VipsImage:
    """Return the colours and their alpha. Several more bands are spot colours, and none of them counts as alpha."""
    return image if image.bands <= colours + 1 else image.extract_band(0, n=colours)


def _transform(image: VipsImage) -> VipsImage:
    """Convert the picture by its own profile. Without a usable one, take a profile of libvips."""
    how = {"intent": "relative", "black_point_compensation": True, "depth": 8}
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    if _foreign_profile(image) is None:
        image = _without_profile(image)
    try:
        return image.icc_transform("srgb", embedded=True, input_profile=fallback, **how)
    except pyvips.Error:
        return _without_profile(image).icc_transform("srgb", embedded=True, input_profile=fallback, **how)


def _without_profile(image: VipsImage) -> VipsImage:
    if image.get_typeof(_PROFILE) == 0:
        return image
    image = image.copy()
    image.remove(_PROFILE)
    return image


def _first_band(image: VipsImage) -> VipsImage:
    """Return the grey of an sRGB picture whose channels are equal, with its alpha."""
    grey = image[0].copy(interpretation="b-w")
    return grey.bandjoin(image[image.bands - 1]) if image.hasalpha() else grey


def _foreign_profile(image: VipsImage) -> bytes | None:
    """Return the embedded profile, when it fits the picture and is not sRGB."""
    if image.get_typeof(_PROFILE) == 0:
        return None
    profile: bytes = image.get(_PROFILE)
    if profile[16:20] != _colour_space(image) or _description(profile) in _SRGB_NAMES:
        return None
    return profile


def _colour_space(image: VipsImage) -> bytes:
    if image.interpretation in _GREY:
        return b"GRAY"
    return b"CMYK" if image.interpretation == "cmyk" else b"RGB "


def _description(profile: bytes) -> str:
    """Return the profile's name, or an empty text when it has no readable one."""
    try:
        for number in range(min(100, struct.unpack_from(">I", profile, _TAG_TABLE_AT)[0])):
            tag, start, size = struct.unpack_from(">4sII", profile, _TAG_TABLE_AT + 4 + 12 * number)
            if tag == b"desc":
                return _text(profile[start : start + size])
    except struct.error:
        pass
    return ""


def _text(tag: bytes) -> str:
    if tag[:4] == b"mluc":  # a profile of version 4
        length, start = struct.unpack_from(">II", tag, 20)
        return tag[start : start + length].decode("utf-16-be", "replace").rstrip("\0 ")
    length = struct.unpack_from(">I", tag, 8)[0]
    return tag[12 : 12 + length].decode("ascii", "replace").rstrip("\0 ")
