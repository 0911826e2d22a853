from __future__ import annotations

import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from cluster.codes import ImageErrorCode
from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.pictures import difference, flat, look, near, photo, pixel, refusal, run, save

ORIENTATION = 0x0112


def oriented(orientation: int, name: str = "JPEG", size: tuple[int, int] = (160, 120)) -> bytes:
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    return save(photo(*size), name, exif=exif, **({"quality": 95} if name == "JPEG" else {}))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_applied(orientation: int, name: str) -> None:
    source = oriented(orientation, name)
    expected = ImageOps.exif_transpose(look(source))
    output = run(source, quality=95)
    assert (output.width, output.height) == expected.size
    assert difference(look(output.data), expected) < 4
    assert look(output.data).getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("target", ["keep", "jpeg"])
def test_the_rotation_of_an_avif_is_applied(orientation: int, target: str) -> None:
    source = oriented(orientation, "AVIF")
    expected = ImageOps.exif_transpose(look(source))  # Pillow gives `irot` and `imir` as EXIF
    output = run(source, format=target, quality=95)
    assert (output.width, output.height) == expected.size
    assert difference(ImageOps.exif_transpose(look(output.data)), expected) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_when_metadata_is_kept(orientation: int) -> None:
    source = oriented(orientation)
    output = look(run(source, quality=95, keep_metadata=True).data)
    assert output.getexif().get(ORIENTATION, 1) == 1
    assert difference(output, ImageOps.exif_transpose(look(source))) < 3


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_picture_of_many_rows_is_not_read_out_of_order(orientation: int) -> None:
    source = oriented(orientation, size=(1200, 2500))
    assert difference(look(run(source, quality=95).data), ImageOps.exif_transpose(look(source))) < 3


def test_bounds_are_those_of_the_upright_picture() -> None:
    output = run(oriented(6, size=(1600, 800)), max_width=400)
    assert (output.width, output.height) == (400, 800)
    output = run(oriented(6, size=(1600, 800)), max_width=100, quality=95)
    expected = ImageOps.exif_transpose(photo(1600, 800).resize((200, 100), Pillow.Resampling.LANCZOS))
    assert difference(look(output.data).rotate(90, expand=True), expected) < 4


@pytest.mark.parametrize(
    ("bounds", "size"),
    [
        ({"max_width": 300}, (300, 200)),
        ({"max_height": 100}, (150, 100)),
        ({"max_width": 300, "max_height": 100}, (150, 100)),
        ({"max_width": 6000}, (600, 400)),
        ({"max_width": 1}, (1, 1)),
        ({"max_width": 599}, (599, 399)),
    ],
)
def test_it_shrinks_to_fit_and_never_grows(bounds: dict[str, int], size: tuple[int, int]) -> None:
    output = run(save(photo(600, 400), "JPEG", quality=95), **bounds)
    assert (output.width, output.height) == size
    assert look(output.data).size == size


@pytest.mark.parametrize("width", [35, 70, 140, 290])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_shrinking_looks_like_lanczos(width: int, name: str) -> None:
    picture = photo(600, 400)
    source = save(picture, name, **({"quality": 95} if name == "JPEG" else {}))
    output = run(source, format="png", max_width=width)
    assert difference(look(output.data), picture.resize((output.width, output.height), Pillow.Resampling.LANCZOS)) < 3


def test_colour_under_transparent_pixels_does_not_bleed() -> None:
    picture = flat((0, 255, 0, 0), "RGBA", (200, 200))
    picture.paste((255, 0, 0, 255), (0, 0, 101, 200))
    output = look(run(save(picture, "PNG"), max_width=50).data).convert("RGBA")
    for x in range(50):
        value = output.getpixel((x, 25))
        assert isinstance(value, tuple)
        assert value[3] == 0 or value[1] == 0


@pytest.mark.parametrize("target", ["keep", "webp", "avif"])
def test_alpha_stays_where_the_format_has_it(target: str) -> None:
    output = run(save(flat((200, 100, 50, 128), "RGBA"), "PNG"), format=target, quality=95)
    assert near(pixel(output.data, mode="RGBA"), (200, 100, 50, 128))


@pytest.mark.parametrize(
    ("background", "colour"), [("#ffffff", (255, 255, 255)), ("#000000", (0, 0, 0)), ("#1E90FF", (30, 144, 255))]
)
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_flattened_for_jpeg(background: str, colour: tuple[int, ...], mode: str) -> None:
    picture = flat((255, 0, 0, 0) if mode == "RGBA" else (255, 0), mode)
    output = run(save(picture, "PNG"), format="jpeg", background=background, quality=95)
    assert near(pixel(output.data), colour)
    assert output.format is ImageFormat.JPEG


def test_half_transparent_is_mixed_with_the_background() -> None:
    output = run(save(flat((200, 0, 0, 128), "RGBA"), "PNG"), format="jpeg", background="#0000c8", quality=95)
    assert near(pixel(output.data), (100, 0, 100))


def test_grey_over_grey_stays_grey() -> None:
    output = run(save(flat((0, 128), "LA"), "PNG"), format="jpeg", background="#c8c8c8")
    assert look(output.data).mode == "L"


def test_webp_says_how_large_it_can_be() -> None:
    error = refusal(save(flat(9, "L", (16_384, 8)), "PNG"), format="webp")
    assert error.code is ImageErrorCode.ENCODE_FAILED
    assert "16,383 pixels" in error.message
    assert run(save(flat(9, "L", (16_384, 8)), "PNG"), format="webp", max_width=16_383).decision is Decision.COMPRESSED
