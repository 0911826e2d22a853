from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.pictures import difference, look, photo, run, save
from tests.unit.actors.imaging.test_colour import display_p3

GPS = 0x8825
ARTIST = 0x013B


def exif(orientation: int = 1) -> Pillow.Exif:
    tags = Pillow.Exif()
    tags[ARTIST] = "secret artist"
    tags[0x0112] = orientation
    tags.get_ifd(GPS)[1] = "N"
    return tags


def tight(name: str, **how: object) -> bytes:
    """Make a file that our settings cannot make smaller."""
    settings = {"JPEG": {"quality": 20, "optimize": True}, "WEBP": {"quality": 5, "method": 6}}.get(name, {})
    picture = photo()
    if name in {"PNG", "GIF"}:
        picture = picture.convert("P", palette=Pillow.Palette.ADAPTIVE, colors=64)
    return save(picture, name, **{**settings, **how})


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_source_that_is_tight_already_is_kept(name: str) -> None:
    source = tight(name)
    output = run(source, quality=95)
    assert output.decision is Decision.KEPT_ORIGINAL
    assert output.data == source
    assert (output.width, output.height, output.format) == (160, 120, ImageFormat(name.lower()))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_its_metadata_is_cut_out_without_coding_it_again(name: str) -> None:
    source = tight(name, exif=exif())
    output = run(source, quality=95)
    assert b"secret artist" in source
    assert b"secret artist" not in output.data
    assert len(output.data) < len(source)
    assert output.decision is Decision.COMPRESSED
    assert difference(look(output.data), look(source)) == 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_it_is_kept_whole_when_metadata_is_asked_for(name: str) -> None:
    source = tight(name, exif=exif())
    output = run(source, quality=95, keep_metadata=True)
    assert output.data == source
    assert output.decision is Decision.KEPT_ORIGINAL


def test_text_and_comments_go() -> None:
    text = PngInfo()
    text.add_text("Author", "secret artist")
    text.add_itxt("XML:com.adobe.xmp", "secret artist", zip=True)
    for source in (
        tight("PNG", pnginfo=text),
        tight("GIF", comment=b"secret artist"),
        tight("JPEG", comment=b"secret artist", xmp=b"secret artist"),
        tight("JPEG") + b"secret artist",
        tight("PNG") + b"secret artist",
        tight("WEBP", xmp=b"secret artist"),
    ):
        assert b"secret artist" in source
        output = run(source, quality=95)
        assert b"secret artist" not in output.data
        assert len(output.data) < len(source)
        assert difference(look(output.data), look(source)) == 0


def test_a_turned_source_is_coded_again_although_it_grows() -> None:
    source = tight("JPEG", exif=exif(orientation=6))
    output = run(source, quality=95)
    assert output.decision is Decision.COMPRESSED
    assert (output.width, output.height) == (120, 160)


@pytest.mark.parametrize("asked", [{"max_width": 100}, {"format": "png"}])
def test_a_change_that_was_asked_for_is_made_although_the_image_grows(asked: dict[str, object]) -> None:
    source = save(photo(), "JPEG", quality=10)
    output = run(source, quality=100, **asked)
    assert len(output.data) > len(source)
    assert output.decision is Decision.COMPRESSED


def test_asking_for_the_format_it_has_is_asking_for_nothing() -> None:
    source = tight("JPEG")
    assert run(source, format="jpeg", quality=95).data == source
    assert run(source, max_width=160, max_height=5000, quality=95).data == source


@pytest.mark.parametrize("target", ["keep", "webp", "avif", "png", "jpeg"])
def test_metadata_is_stripped_from_every_format(target: str) -> None:
    source = save(photo(), "JPEG", quality=100, exif=exif(), xmp=b"<x:xmpmeta>secret artist</x:xmpmeta>")
    output = run(source, format=target)
    assert b"secret artist" not in output.data
    picture = look(output.data)
    assert dict(picture.getexif()) == {}
    assert "xmp" not in picture.info


@pytest.mark.parametrize("target", ["keep", "webp", "avif", "png"])
def test_metadata_is_kept_when_asked_for(target: str) -> None:
    source = save(photo(), "JPEG", quality=100, exif=exif(), xmp=b"<x:xmpmeta>secret artist</x:xmpmeta>")
    output = look(run(source, format=target, keep_metadata=True).data)
    assert output.getexif()[ARTIST] == "secret artist"
    assert "icc_profile" not in output.info


@pytest.mark.parametrize("target", ["keep", "webp", "avif", "png"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_the_same_input_gives_the_same_bytes(name: str, target: str) -> None:
    source = save(photo(), name, exif=exif())
    outputs = {run(source, format=target, keep_metadata=True).data for _ in range(2)}
    assert len(outputs) == 1


def test_png_is_lossless_and_smaller() -> None:
    source = save(photo(), "PNG", compress_level=0)
    output = run(source, quality=1)
    assert difference(look(output.data), photo()) == 0
    assert len(output.data) < len(source)


def test_lossless_webp_stays_lossless() -> None:
    source = save(photo(), "WEBP", lossless=True, quality=0, method=0)
    assert difference(look(run(source, quality=1).data), photo()) == 0


def test_jpeg_in_tiff_stays_jpeg() -> None:
    source = save(photo(600, 400), "TIFF", compression="jpeg", quality=95)
    output = run(source)
    assert len(output.data) < len(source)
    assert look(output.data).info["compression"] == "jpeg"
    assert difference(look(output.data), photo(600, 400)) < 6


def test_the_second_picture_behind_a_jpeg_goes() -> None:
    stream = BytesIO()
    photo().save(stream, "MPO", save_all=True, append_images=[photo(seed=2)], quality=20)
    source = stream.getvalue()
    output = run(source, quality=95)
    assert len(output.data) < len(source) * 0.7
    assert look(output.data).format == "JPEG"


def test_a_profile_that_is_kept_needs_no_conversion() -> None:
    source = save(photo(), "JPEG", quality=30, icc_profile=display_p3())
    kept = run(source, quality=90, keepMetadata=True)
    assert (kept.data, kept.decision) == (source, Decision.KEPT_ORIGINAL)
