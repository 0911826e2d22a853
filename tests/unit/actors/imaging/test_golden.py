from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow
from PIL import ImageFilter, ImageOps

from actors.imaging.libvips import pyvips
from cluster.codes import ImageErrorCode
from cluster.records import Decision
from tests.unit.actors.imaging.corpus import CORPUS, PHOTOGRAPHS, SIZE, exif, jpeg, profile, scene, translucent
from tests.unit.actors.imaging.golden import AGREEMENT, EXACT, LOSSY, RESIZED, Bounds, assert_faithful
from tests.unit.actors.imaging.pictures import refusal, run, save

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.imaging.compressed import Compressed
    from tests.unit.actors.imaging.corpus import Kind

QUALITY = 75
HALF = 90
ENCODED_AGAIN = 1.4  # for a picture of few pixels, or one that is encoded with loss a second time
TYPICAL = ("jpeg 4:4:4", "jpeg 4:2:0", "jpeg grey", "jpeg turned by 6", "png", "png with alpha", "jpeg in Display P3")
PHOTOGRAPH_NAMES = ("artists-brushes.jpg", "camera-on-tripod.jpg", "light-bulb.png", "sushi-platter.webp")


def bounds_of(name: str, kind: Kind, output: Compressed, quality: int = QUALITY) -> Bounds:
    """Return the bounds by whether the output's encoding loses anything."""
    if name.startswith("avif") and output.format == "png":
        return AGREEMENT
    if output.format == "png" or (kind.exact and output.format in name):
        return EXACT
    return LOSSY[quality].times(kind.hard)


@cache
def made(name: str) -> bytes:
    return CORPUS[name].make()


def check(name: str, *, size: tuple[int, int] | None = None, factor: float = 1, **options: object) -> None:
    kind = CORPUS[name]
    source = made(name)
    output = run(source, **options)
    quality = options.get("quality", QUALITY)
    assert isinstance(quality, int)
    bounds = bounds_of(name, kind, output, quality)
    if size is not None:
        bounds = RESIZED if bounds in {EXACT, AGREEMENT} else bounds
    original = kind.original() if kind.original else None
    assert_faithful(source, output, bounds.times(factor), size=size, original=original)


@pytest.mark.parametrize("name", CORPUS)
def test_every_kind_still_shows_the_same(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("target", ["jpeg", "webp", "png"])
def test_every_kind_in_every_format(name: str, target: str) -> None:
    check(name, format=target)


@pytest.mark.parametrize("name", [*TYPICAL, "gif", "bmp", "tiff of 16 bits"])
def test_typical_kinds_as_avif(name: str) -> None:
    check(name, format="avif")


@pytest.mark.parametrize("name", TYPICAL)
@pytest.mark.parametrize("target", ["jpeg", "webp"])
@pytest.mark.parametrize("quality", [40, 90])
def test_every_quality_is_worth_its_name(name: str, target: str, quality: int) -> None:
    check(name, format=target, quality=quality)


@pytest.mark.parametrize("quality", [40, 90])
def test_every_quality_of_avif(quality: int) -> None:
    check("png", format="avif", quality=quality)


@pytest.mark.parametrize("name", [name for name, kind in CORPUS.items() if kind.hard == 1])
@pytest.mark.parametrize("target", ["jpeg", "png"])
def test_every_kind_made_smaller(name: str, target: str) -> None:
    turned = any(word in name for word in ("by 5", "by 6", "by 7", "by 8", "png turned"))
    size = (HALF, HALF * SIZE[0] // SIZE[1]) if turned else (HALF, round(HALF * SIZE[1] / SIZE[0]))
    check(name, size=size, factor=ENCODED_AGAIN, format=target, max_width=HALF)


@pytest.mark.parametrize("name", PHOTOGRAPH_NAMES)
@pytest.mark.parametrize("target", ["keep", "jpeg"])
def test_photographs(name: str, target: str) -> None:
    source = (PHOTOGRAPHS / name).read_bytes()
    output = run(source, format=target)
    assert_faithful(source, output, EXACT if output.format == "png" else LOSSY[QUALITY])
    assert len(output.data) <= len(source)


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("quality", [75, 95])
def test_no_kind_gets_larger_unless_it_must_be_converted(name: str, quality: int) -> None:
    kind = CORPUS[name]
    source = made(name)
    output = run(source, quality=quality)
    assert len(output.data) <= len(source) or kind.converted
    assert (output.decision is Decision.KEPT_ORIGINAL) == (output.data == source)


@pytest.mark.parametrize("name", CORPUS)
def test_pillow_takes_over_for_bmp_only(name: str) -> None:
    source = made(name)
    try:
        pyvips.Image.new_from_buffer(source, "").avg()
    except pyvips.Error:
        assert name.startswith("bmp")
        assert run(source).format == "png"
    else:
        assert not name.startswith("bmp")


def test_heic_is_refused() -> None:
    error = refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert "HEIC" in error.message


def swapped(picture: Pillow.Image) -> Pillow.Image:
    luma, blue, red = picture.convert("YCbCr").split()
    return Pillow.merge("YCbCr", (luma, red, blue)).convert("RGB")


def moved(picture: Pillow.Image, *names: str) -> Pillow.Image:
    """Move some planes half a pixel to the right."""
    planes = dict(zip(("luma", "blue", "red"), picture.convert("YCbCr").split(), strict=True))
    half = (1, 0, 0.5, 0, 1, 0)
    for name in names:
        planes[name] = planes[name].transform(SIZE, Pillow.Transform.AFFINE, half, Pillow.Resampling.BILINEAR)
    return Pillow.merge("YCbCr", list(planes.values())).convert("RGB")


WRONG: dict[str, Callable[[Pillow.Image], Pillow.Image]] = {
    "Cb and Cr swapped": swapped,
    "red and blue swapped": lambda picture: Pillow.merge("RGB", picture.split()[::-1]),
    "gamma 10% too high": lambda picture: picture.point([round(255 * (v / 255) ** 1.1) for v in range(256)] * 3),
    "TV range": lambda picture: picture.point([16 + v * 219 // 255 for v in range(256)] * 3),
    "a little too bright": lambda picture: picture.point([min(255, v + 5) for v in range(256)] * 3),
    "chroma half a pixel off": lambda picture: moved(picture, "blue", "red"),
    "luma half a pixel off": lambda picture: moved(picture, "luma"),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 180": lambda picture: picture.rotate(180),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "of 8 shades": lambda picture: ImageOps.posterize(picture, 3),
    "with a grey block": lambda picture: ImageOps.expand(
        picture.crop((0, 0, 200, 126)), (0, 0, 0, 24), (128, 128, 128)
    ),
    "smaller": lambda picture: picture.crop((0, 0, 199, 150)),
}


def verdict(source: bytes, picture: Pillow.Image, quality: int) -> str:
    """Return the complaint of the check about a picture in place of the output."""
    output = replace(run(source), data=save(picture, "JPEG", quality=quality, subsampling=0))
    try:
        assert_faithful(source, output, LOSSY[quality])
    except AssertionError as error:
        return str(error) or "refused"
    return ""


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("quality", [75, 90])
def test_wrong_outputs_are_seen(wrong: str, quality: int) -> None:
    source = jpeg(subsampling=0)
    assert verdict(source, scene(), quality) == ""
    assert verdict(source, WRONG[wrong](scene()), quality)


@pytest.mark.parametrize("name", ["p3", "cmyk"])
def test_a_profile_that_was_not_applied_is_seen(name: str) -> None:
    source = jpeg(icc_profile=profile("p3")) if name == "p3" else made("jpeg in CMYK with a profile")
    naive = scene() if name == "p3" else Pillow.open(PHOTOGRAPHS / "citrus-slices.jpg").convert("RGB").resize(SIZE)
    assert verdict(source, naive, 90)


def test_a_turn_that_was_not_made_is_seen() -> None:
    source = jpeg(exif=exif(3))
    assert verdict(source, scene().rotate(180), 90) == ""
    assert verdict(source, scene(), 90)


def test_a_wrong_background_and_lost_alpha_are_seen() -> None:
    source = save(translucent(), "PNG")
    black = Pillow.alpha_composite(Pillow.new("RGBA", SIZE, (0, 0, 0)), translucent()).convert("RGB")
    flattened = run(source, format="jpeg")
    with pytest.raises(AssertionError):
        assert_faithful(source, replace(flattened, data=save(black, "JPEG", quality=90)), LOSSY[75])
    with pytest.raises(AssertionError):
        assert_faithful(source, replace(run(source), data=save(translucent().convert("RGB"), "PNG")), EXACT)
