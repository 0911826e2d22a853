from __future__ import annotations

import gzip
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from actors.imaging.formats import CONTENT_TYPES, EXTENSIONS
from actors.imaging.libvips import pyvips
from cluster.codes import ImageErrorCode
from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.pictures import deep, difference, flat, look, photo, pixel, refusal, run, save

if TYPE_CHECKING:
    from pathlib import Path

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>'


def zipped() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "hello")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (SVG, "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n' + SVG, "SVG"),
        (b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "SVG"),
        (gzip.compress(SVG, mtime=0), "gzip"),
        (b"%PDF-1.7\n", "PDF"),
        (zipped(), "ZIP"),
        (b"8BPS\0\1" + bytes(40), "Photoshop"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
        (b"\0\0\1\0\1\0\x10\x10", "icon"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40), "video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
    ],
)
def test_an_unsupported_format_is_named(data: bytes, name: str) -> None:
    error = refusal(data)
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert name in error.message
    assert error.message.endswith("which is not supported. Use JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP.")


def test_files_of_other_loaders_are_refused(tmp_path: Path) -> None:
    picture = deep(9, bits=8)
    for suffix, code in (
        (".v", ImageErrorCode.UNSUPPORTED_FORMAT),
        (".csv", ImageErrorCode.NOT_AN_IMAGE),
        (".mat", ImageErrorCode.NOT_AN_IMAGE),
    ):
        path = tmp_path / f"picture{suffix}"
        picture.write_to_file(str(path))
        assert refusal(path.read_bytes()).code is code


def test_untrusted_loaders_are_blocked_in_the_library_too() -> None:
    with pytest.raises(pyvips.Error, match="blocked"):
        pyvips.Image.svgload_buffer(SVG)
    with pytest.raises(pyvips.Error, match="not in a known format"):
        pyvips.Image.new_from_buffer(SVG, "")


@pytest.mark.parametrize(
    "data",
    [
        *(b"a", b"\0", b"hello, this is text", b"BMW, Audi, Mercedes and other cars", b'{"error": "not found"}'),
        *(b"RIFF\x24\0\0\0WAVEfmt ", b"GIF88a", b"\x89PNG\n", b"\xff\xd8", b"1,2,3\n4,5,6\n", bytes(1000)),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert error.code is ImageErrorCode.NOT_AN_IMAGE
    assert error.message == "The file is not an image. Check its URL."


def test_a_web_page_is_called_one() -> None:
    error = refusal(b"\n<!DOCTYPE html><html><body>404 <svg></svg></body></html>")
    assert error.code is ImageErrorCode.NOT_AN_IMAGE
    assert error.message.startswith("The source sent a web page instead of an image. Check that its URL is right")


def test_nothing_is_empty() -> None:
    assert refusal(b"").code is ImageErrorCode.EMPTY


def test_every_output_format_has_a_type_and_an_extension() -> None:
    assert set(CONTENT_TYPES) == set(EXTENSIONS) == set(ImageFormat)
    assert EXTENSIONS[ImageFormat.JPEG] == "jpg"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *(("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("AVIF", "avif"), ("GIF", "gif"), ("TIFF", "tiff")),
        ("BMP", "png"),
    ],
)
@pytest.mark.parametrize("target", ["keep", "jpeg", "webp", "avif", "png"])
def test_every_format_becomes_every_format(name: str, kept: str, target: str) -> None:
    source = save(photo(), name, **({"quality": 95} if name in {"JPEG", "WEBP", "AVIF"} else {}))
    output = run(source, format=target, quality=95)
    assert output.format.value == (kept if target == "keep" else target)
    picture = look(output.data)
    assert picture.format is not None
    assert picture.format.lower() == output.format
    assert picture.size == (output.width, output.height) == (160, 120)
    assert difference(picture, look(source)) < 4


@pytest.mark.parametrize(
    ("mode", "colour"), [("RGB", (200, 100, 50)), ("RGBA", (200, 100, 50, 255)), ("L", 90), ("P", 7), ("1", 255)]
)
def test_every_kind_of_bmp(mode: str, colour: tuple[int, ...] | int) -> None:
    source = save(flat(colour, mode), "BMP")
    output = run(source)
    assert output.format is ImageFormat.PNG
    assert output.decision is Decision.COMPRESSED
    assert pixel(output.data) == pixel(source)


def test_bmp_from_top_to_bottom() -> None:
    source = bytearray(save(photo(), "BMP"))
    height = int.from_bytes(source[22:26], "little", signed=True)
    source[22:26] = (-height).to_bytes(4, "little", signed=True)
    assert difference(look(run(bytes(source)).data), look(bytes(source))) == 0


@pytest.mark.parametrize(
    "how", [{"bigtiff": True}, {"tile": True}, {"compression": "lzw"}, {"predictor": "horizontal"}]
)
def test_kinds_of_tiff(how: dict[str, object]) -> None:
    picture = photo()
    vips = pyvips.Image.new_from_memory(picture.tobytes(), 160, 120, 3, "uchar").copy(interpretation="srgb")
    assert difference(look(run(vips.tiffsave_buffer(**how)).data), picture) == 0


def test_big_endian_tiff() -> None:
    stream = BytesIO()
    photo().convert("I;16B").save(stream, "TIFF")
    assert stream.getvalue()[:2] == b"MM"
    assert look(run(stream.getvalue()).data).mode == "L"


def test_the_first_page_of_a_tiff_is_taken() -> None:
    source = save(flat((9, 9, 9)), "TIFF", save_all=True, append_images=[flat((90, 90, 90), size=(10, 10))])
    output = run(source, format="png")
    assert (output.width, output.height) == (64, 48)
    assert pixel(output.data) == (9, 9, 9)


def test_a_tiff_with_alpha_keeps_it() -> None:
    source = save(flat((200, 100, 50, 128), "RGBA"), "TIFF")
    assert pixel(run(source).data, mode="RGBA") == (200, 100, 50, 128)
