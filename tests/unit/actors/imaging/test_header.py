"""The numbers that are read from a header, also from one that hides or repeats them."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from io import BytesIO

import pytest

from actors.imaging.containers import avif, bmp, gif, jpeg, png, tiff, webp
from actors.imaging.header import MAX_BLOCKS, Header
from actors.imaging.libvips import pyvips
from cluster.codes import ImageErrorCode
from cluster.records import Decision
from tests.unit.actors.imaging.headers import jpeg_of, png_of, tiff_of, webp_of
from tests.unit.actors.imaging.pace import slowdown
from tests.unit.actors.imaging.pictures import flat, look, photo, refusal, run, save


def test_a_baseline_jpeg_with_a_scan_a_component_counts_as_progressive() -> None:
    source = bytearray(save(photo(), "JPEG"))
    scan = source.index(b"\xff\xda")
    assert jpeg.read_header(bytes(source)).scans == 1
    source[scan + 4] = 1
    assert jpeg.read_header(bytes(source)).scans > 1


def test_hundreds_of_scans_are_refused() -> None:
    source = save(photo(), "JPEG", progressive=True)
    scan = source.rindex(b"\xff\xda")
    again = source[scan:-2]
    error = refusal(source[:scan] + again * 200 + b"\xff\xd9")
    assert error.code is ImageErrorCode.CORRUPT_IMAGE
    assert "more than 100 scans" in error.message


def test_a_size_hidden_behind_a_thumbnail_is_found() -> None:
    thumbnail = save(flat(9, "L", (16, 16)), "JPEG")
    body = jpeg_of(16_000, 16_000)
    application = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert refusal(body[:2] + application + body[2:]).code is ImageErrorCode.TOO_MANY_PIXELS


def test_a_gif_frame_beyond_the_screen_counts() -> None:
    source = bytearray(save(flat(9, "L", (16, 16)), "GIF"))
    image = source.index(b"\x2c")
    source[image + 5 : image + 9] = struct.pack("<HH", 16_000, 16_000)
    assert gif.read_header(bytes(source)) == Header(width=16_000, height=16_000, is_buffered=True)
    assert refusal(bytes(source)).code is ImageErrorCode.TOO_MANY_PIXELS


def test_a_webp_whose_picture_is_larger_than_its_canvas() -> None:
    inner = webp_of(16_383, 16_383)[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x0f\0\0\x0f\0\0"
    body = b"WEBP" + canvas + inner
    assert refusal(b"RIFF" + struct.pack("<I", len(body)) + body).code is ImageErrorCode.TOO_MANY_PIXELS
    frame = b"ANMF" + struct.pack("<I", 16 + len(inner)) + bytes(6) + b"\x0f\0\0\x0f\0\0" + bytes(4) + inner
    body = b"WEBP" + canvas + frame
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert webp.read_header(data) == Header(width=16_383, height=16_383, lossless=True, is_buffered=True)
    assert refusal(data).code is ImageErrorCode.TOO_MANY_PIXELS


def test_libheif_decodes_no_more_than_the_header_says() -> None:
    source = save(flat((9, 9, 9), size=(2_000, 1_500)), "AVIF")
    lie = source.replace(struct.pack(">II", 2_000, 1_500), struct.pack(">II", 64, 64))
    assert avif.read_header(lie) == Header(width=64, height=64, is_buffered=True, decoded_pixels=128 * 128)
    assert refusal(lie).code is ImageErrorCode.CORRUPT_IMAGE


def test_an_animated_png_that_claims_a_billion_frames() -> None:
    error = refusal(png_of(10, 10, (b"acTL", struct.pack(">II", 10**9, 0))))
    assert error.code is ImageErrorCode.TOO_MANY_FRAMES
    assert "1,000,000,000 frames" in error.message


@pytest.mark.parametrize("tag", [322, 323])
def test_tiff_tiles_that_are_larger_than_the_picture(tag: int) -> None:
    assert refusal(tiff_of(100, 100, (tag, 100_000))).code is ImageErrorCode.CORRUPT_IMAGE


def test_tiff_with_thousands_of_channels() -> None:
    error = refusal(
        tiff_of(10_000, 1_000).replace(struct.pack("<HHII", 277, 4, 1, 1), struct.pack("<HHII", 277, 4, 1, 65_535))
    )
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert "65,535 channels" in error.message


@pytest.mark.cpu
def test_a_gif_of_millions_of_tiny_parts_ends_soon() -> None:
    source = save(flat(9, "L", (16, 16)), "GIF")
    bomb = source[:-1] + b"\x21\xfe" + b"\x01a" * 8_000_000
    started = time.process_time()
    assert refusal(bomb).code is ImageErrorCode.CORRUPT_IMAGE
    assert time.process_time() - started < 2 * slowdown()


@pytest.mark.cpu
def test_a_jpeg_of_fill_bytes_ends_soon() -> None:
    started = time.process_time()
    assert refusal(b"\xff\xd8\xff\xe0\0\2" + b"\xff" * 8_000_000 + b"\0").code is ImageErrorCode.CORRUPT_IMAGE
    assert time.process_time() - started < 2 * slowdown()


@pytest.mark.cpu
def test_a_png_of_millions_of_tiny_parts_ends_soon() -> None:
    bomb = png_of(8, 8)[:33] + (bytes(4) + b"aaAa" + bytes(4)) * 2_000_000
    started = time.process_time()
    assert refusal(bomb).code is ImageErrorCode.CORRUPT_IMAGE
    assert time.process_time() - started < 3 * slowdown()


@pytest.mark.parametrize("how", [{}, {"bigtiff": True}])
def test_headers_agree_with_the_decoder(how: dict[str, object]) -> None:
    picture = photo(123, 45)
    expected = Header(width=123, height=45)
    buffered = Header(width=123, height=45, is_buffered=True)
    assert jpeg.read_header(save(picture, "JPEG")) == expected
    assert png.read_header(save(picture, "PNG")) == expected
    assert gif.read_header(save(picture, "GIF")) == buffered
    assert webp.read_header(save(picture, "WEBP")) == buffered
    assert webp.read_header(save(picture, "WEBP", lossless=True)).lossless
    assert avif.read_header(save(picture, "AVIF")) == replace(buffered, decoded_pixels=128 * 128)
    assert bmp.read_header(save(picture, "BMP")) == buffered
    vips = pyvips.Image.black(123, 45)
    assert tiff.read_header(vips.tiffsave_buffer(**how)) == Header(width=123, height=45, lossless=True)
    assert not tiff.read_header(vips.tiffsave_buffer(compression="jpeg", **how)).lossless
    assert look(BytesIO(save(picture, "BMP")).getvalue()).size == (123, 45)


def with_scans(extra: int) -> bytes:
    """Make a progressive JPEG of 10 scans, with the last one repeated."""
    source = save(photo(), "JPEG", progressive=True)
    scan = source.rindex(b"\xff\xda")
    return source[:scan] + source[scan:-2] * (extra + 1) + b"\xff\xd9"


def test_scans_are_counted() -> None:
    assert jpeg.read_header(with_scans(0)).scans == 10
    assert jpeg.read_header(with_scans(90)).scans == 100
    assert refusal(with_scans(91)).message == "The image is damaged: it has more than 100 scans. Replace the file."


def test_a_file_of_too_many_parts_is_damage() -> None:
    assert MAX_BLOCKS == 100_000
    part, source, header_end = bytes(4) + b"prVt" + bytes(4), png_of(8, 8), 33
    most = source[:header_end] + part * (MAX_BLOCKS - 2) + source[header_end:]  # IHDR and IDAT count, too
    assert png.read_header(most) == Header(width=8, height=8)
    error = refusal(source[:header_end] + part + most[header_end:])
    assert (error.code, error.message) == (
        ImageErrorCode.CORRUPT_IMAGE,
        "The image is damaged: it has too many parts. Replace the file.",
    )


def test_a_bmp_with_more_data_than_pixels_is_damage() -> None:
    source = save(flat(9, "L", (16, 16)), "BMP")
    most = 4 * (16 + 4) * 16 + 1024 * 1024
    assert run(source.ljust(most, b"\0")).width == 16
    error = refusal(source.ljust(most + 1, b"\0"))
    assert (error.code, error.message) == (
        ImageErrorCode.CORRUPT_IMAGE,
        "The image is damaged: it has more data than pixels. Replace the file.",
    )


def test_an_avif_with_anything_else_in_it_is_coded_again() -> None:
    source = run(photo_as_avif()).data
    assert avif.is_picture_only(source)
    for more in (b"\0\0\0\x0cfreeabcd", b"\0\0\0\x0cmoovabcd", b"behind the end"):
        assert not avif.is_picture_only(source + more)
        output = run(source + more)
        assert output.decision is Decision.COMPRESSED
        assert more not in output.data
        assert avif.is_picture_only(output.data)


def photo_as_avif() -> bytes:
    return save(photo(), "AVIF", quality=20)
