from __future__ import annotations

import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from actors.imaging.libvips import pyvips
from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.golden import in_srgb
from tests.unit.actors.imaging.pictures import deep, difference, flat, look, near, photo, pixel, run, save


def display_p3() -> bytes:
    """Return libvips' own profile, from a picture that it converted."""
    picture = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb").icc_transform("p3", input_profile="srgb")
    profile: bytes = picture.get("icc-profile-data")
    return profile


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_a_wide_gamut_is_converted_as_little_cms_does() -> None:
    picture = photo()
    source = save(picture, "PNG", icc_profile=display_p3())
    expected = in_srgb(look(source), look(source).info["icc_profile"])
    output = look(run(source).data)
    assert difference(output, expected) < 1
    assert difference(output, picture) > 5
    assert "icc_profile" not in output.info


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "png"])
def test_every_format_comes_out_in_srgb(name: str) -> None:
    source = save(flat((200, 100, 50)), "PNG", icc_profile=display_p3())
    output = run(source, format=name, quality=95).data
    assert near(pixel(output), pixel(run(source).data))
    assert "icc_profile" not in look(output).info


def test_srgb_by_name_is_not_touched_but_its_profile_goes() -> None:
    picture = photo()
    output = look(run(save(picture, "PNG", icc_profile=srgb())).data)
    assert difference(output, picture) == 0
    assert "icc_profile" not in output.info


@pytest.mark.parametrize("profile", [b"garbage", b"\0" * 200, srgb()[:300], b"\0" * 16 + b"RGB " + b"\xff" * 400])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    picture = photo()
    assert difference(look(run(save(picture, "JPEG", quality=95, icc_profile=profile), quality=95).data), picture) < 3


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    grey = photo().convert("L")
    output = look(run(save(grey, "JPEG", quality=95, icc_profile=display_p3()), quality=95).data)
    assert output.mode == "L"
    assert difference(output, grey) < 3


def test_a_wide_gamut_with_alpha_keeps_its_alpha() -> None:
    source = save(flat((200, 100, 50, 77), "RGBA"), "PNG", icc_profile=display_p3())
    assert pixel(run(source).data, mode="RGBA")[3] == 77


def test_cmyk_without_a_profile_becomes_rgb() -> None:
    source = save(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=95)
    output = run(source)
    red, green, blue = pixel(output.data)
    assert look(output.data).mode == "RGB"
    assert red > 190
    assert max(green, blue) < 70
    assert output.decision is Decision.COMPRESSED


def test_cmyk_with_a_profile_goes_through_it() -> None:
    rgb = pyvips.Image.new_from_memory(flat((200, 60, 40)).tobytes(), 64, 48, 3, "uchar").copy(interpretation="srgb")
    source: bytes = rgb.icc_transform("cmyk", input_profile="srgb", intent="relative").jpegsave_buffer(Q=95)
    assert look(source).mode == "CMYK"
    assert look(source).info["icc_profile"][16:20] == b"CMYK"
    output = run(source).data
    assert look(output).mode == "RGB"
    expected = in_srgb(look(source), look(source).info["icc_profile"])
    assert difference(look(output), expected) < 3
    assert near(pixel(output), (200, 60, 40), 20)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_16_bits_become_8(name: str) -> None:
    picture = deep(65535, 32896, 257)
    source = picture.pngsave_buffer() if name == "PNG" else picture.tiffsave_buffer()
    output = run(source).data
    assert look(output).mode == "RGB"
    assert near(pixel(output), (255, 128, 1), 1)


def test_16_bits_with_a_profile_and_alpha_become_8() -> None:
    picture = deep(51400, 25700, 12850, 32896)
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", display_p3())
    shallow = save(flat((200, 100, 50, 128), "RGBA"), "PNG", icc_profile=display_p3())
    output = run(picture.pngsave_buffer()).data
    assert near(pixel(output, mode="RGBA"), pixel(run(shallow).data, mode="RGBA"), 1)


def test_16_bit_grey_stays_grey() -> None:
    output = look(run(deep(32896).pngsave_buffer()).data)
    assert output.mode == "L"
    assert output.getpixel((5, 5)) == 128


@pytest.mark.parametrize(("name", "mode"), [("jpeg", "L"), ("png", "L"), ("tiff", "L")])
def test_grey_stays_grey(name: str, mode: str) -> None:
    grey = photo().convert("L")
    output = look(run(save(grey, name.upper()), quality=95).data)
    assert output.mode == mode
    assert difference(output, grey) < 3


def test_grey_with_its_own_curve_is_converted_and_stays_grey() -> None:
    linear = bytearray(grey_profile())
    grey = flat(128, "L")
    output = look(run(save(grey, "PNG", icc_profile=bytes(linear))).data)
    assert output.mode == "L"
    value = output.getpixel((5, 5))
    assert isinstance(value, int)
    assert 180 < value < 195  # linear half grey is 188 in sRGB


def grey_profile() -> bytes:
    """Build a grey profile with a linear curve, as ICC.1 describes it."""
    d50 = bytes.fromhex("0000f6d6000100000000d32d")
    tags = {
        b"desc": b"desc" + bytes(4) + (7).to_bytes(4, "big") + b"linear\0" + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"kTRC": b"curv" + bytes(8),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    table, body = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + (start + len(body)).to_bytes(4, "big") + len(tag).to_bytes(4, "big")
        body += tag + bytes(-len(tag) % 4)
    header = bytes(4) + b"lcms" + bytes.fromhex("02100000") + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28) + d50
    profile = header.ljust(128, b"\0") + table + body
    return len(profile).to_bytes(4, "big") + profile[4:]


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_keeps_its_colours(*, transparent: bool) -> None:
    picture = photo().convert("P", palette=Pillow.Palette.ADAPTIVE, colors=64)
    source = save(picture, "PNG", **({"transparency": 0} if transparent else {}))
    mode = "RGBA" if transparent else "RGB"
    output = look(run(source).data).convert(mode)
    assert difference(output, look(source).convert(mode)) == 0


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_a_bilevel_picture_stays_bilevel(name: str) -> None:
    picture = photo(400, 300).convert("1")
    source = save(picture, name)
    output = run(source)
    assert len(output.data) <= len(source)
    assert look(output.data).mode == "1"
    assert look(output.data).tobytes() == picture.tobytes()


@pytest.mark.parametrize("depth", [2, 4])
def test_few_shades_of_grey_stay_few_and_exact(depth: int) -> None:
    shades = pyvips.Image.identity().embed(0, 0, 256, 40, extend="copy").copy(interpretation="b-w")
    source = shades.pngsave_buffer(bitdepth=depth)
    output = run(source)
    assert len(output.data) < len(source)
    assert output.data[24] == depth
    assert difference(look(output.data), look(source)) == 0


@pytest.mark.parametrize("target", ["keep", "jpeg", "png"])
def test_spot_colours_are_left_out(target: str) -> None:
    source = deep(200, 100, 50, 0, 0, 0, bits=8).tiffsave_buffer()
    output = run(source, format=target, quality=95)
    assert look(output.data).mode == "RGB"
    assert near(pixel(output.data), (200, 100, 50))


def test_a_gain_map_goes_and_the_picture_stays() -> None:
    bright = pyvips.Image.black(64, 48, bands=3).linear(1, [0.5, 2.0, 0.1]).cast("float")
    source = bright.copy(interpretation="scrgb").uhdrsave_buffer()
    output = run(source, quality=95)
    assert pyvips.Image.new_from_buffer(source, "").get("vips-loader") == "uhdrload_buffer"
    assert pyvips.Image.new_from_buffer(output.data, "").get("vips-loader") == "jpegload_buffer"
    assert difference(look(output.data), in_srgb(look(source), look(source).info["icc_profile"])) < 3


def test_a_bilevel_picture_that_shrinks_gets_shades() -> None:
    output = look(run(save(photo(400, 300).convert("1"), "PNG"), max_width=100).data)
    assert len(output.convert("L").getcolors() or []) > 2


def test_10_bit_avif_becomes_8() -> None:
    source = deep(65535, 32896, 0).heifsave_buffer(compression="av1", bitdepth=10, Q=95)
    output = run(source, format="png")
    assert output.format is ImageFormat.PNG
    assert near(pixel(output.data), (255, 128, 0), 4)
