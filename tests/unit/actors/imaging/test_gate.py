from __future__ import annotations

import re
import resource
import struct
import time
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from actors.imaging import Limits, compress
from actors.imaging.containers import avif, bmp, gif, jpeg, png, tiff, webp
from actors.imaging.gate import check
from actors.imaging.header import MAX_BLOCKS, Header
from actors.imaging.libvips import pyvips
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from cluster.records import Decision
from tests.unit.actors.imaging.pace import slowdown
from tests.unit.actors.imaging.pictures import LIMITS, flat, look, photo, refusal, run, save

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE_IN_KIB = 1024


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes], interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    body = b"\x89PNG\r\n\x1a\n"
    for kind, payload in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        body += len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")
    return body


def jpeg_of(width: int, height: int, marker: int = 0xC0) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "JPEG"))
    at = source.index(b"\xff\xc0")
    source[at + 1] = marker
    source[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(source)


def webp_of(width: int, height: int) -> bytes:
    payload = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(9)
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(payload)) + b"WEBPVP8L" + struct.pack("<I", len(payload)) + payload


def gif_of(width: int, height: int) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "GIF"))
    source[6:10] = struct.pack("<HH", width, height)
    return bytes(source)


def tiff_of(width: int, height: int, *more: tuple[int, int]) -> bytes:
    fields = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), *more]
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields))
    return body + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields)) + bytes(100)


def bmp_of(width: int, height: int) -> bytes:
    source = bytearray(save(flat(9, "L", (16, 16)), "BMP"))
    source[18:26] = struct.pack("<ii", width, height)
    return bytes(source)


def avif_of(width: int, height: int) -> bytes:
    source = save(flat((9, 9, 9), size=(640, 480)), "AVIF")
    return source.replace(struct.pack(">II", 640, 480), struct.pack(">II", width, height))


BOMBS: dict[str, Callable[[int, int], bytes]] = {
    "png": png_of,
    "jpeg": jpeg_of,
    "webp": webp_of,
    "gif": gif_of,
    "tiff": tiff_of,
    "bmp": bmp_of,
    "avif": avif_of,
}
BUFFERED = ("webp", "gif", "bmp", "avif")


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize(("width", "height"), [(16_383, 16_383), (16_000, 4_000)])
def test_a_header_that_claims_too_much_costs_nothing(name: str, width: int, height: int) -> None:
    bomb = BOMBS[name](width, height)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    error = refusal(bomb)
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    allowed = 16 if name in BUFFERED else 50
    found = f"The image has {width * height // 1_000_000} megapixels"
    assert error.message == f"{found}, over the limit of {allowed}. Make it smaller."
    assert time.process_time() - started < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * MEBIBYTE_IN_KIB


def test_the_smallest_bomb_has_34_bytes() -> None:
    assert len(webp_of(16_383, 16_383)) == 34


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "webp"])  # a WebP has no larger sides
def test_a_side_that_is_too_long(name: str) -> None:
    error = refusal(BOMBS[name](16_385, 1))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert re.fullmatch(
        r"The image is 16,385 by 16? pixels, over the limit of 16,384 a side\. Make it smaller\.", error.message
    )


@pytest.mark.parametrize("name", ["png", "tiff", "bmp", "avif"])
def test_the_largest_numbers_do_not_overflow(name: str) -> None:
    assert refusal(BOMBS[name](2**31 - 1, 2**31 - 1)).code is ImageErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "webp"])
def test_no_size_at_all_is_damage(name: str) -> None:
    data = BOMBS[name](0, 0)
    if name == "gif":  # the canvas is then that of the frame
        assert run(data).width == 16
    else:
        assert refusal(data).code is ImageErrorCode.CORRUPT_IMAGE


@pytest.mark.parametrize("marker", [0xC2, 0xC6, 0xCA])
def test_progressive_jpegs_have_their_own_limit(marker: int) -> None:
    error = refusal(jpeg_of(6_000, 5_000, marker))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    found = "The image is a progressive JPEG of 30 megapixels"
    assert error.message == f"{found}, over the limit of 20. Save it as a baseline JPEG."


def test_progressive_below_the_limit_is_read() -> None:
    source = save(photo(), "JPEG", progressive=True)
    assert jpeg.read_header(source) == Header(width=160, height=120, scans=10)
    assert run(source).data
    small = Limits(
        max_pixels=10**8, max_side_pixels=16_384, max_frames=100, max_buffered_pixels=1, max_progressive_pixels=10_000
    )
    with pytest.raises(ImageError, match=r"progressive JPEG of 0\.0192 megapixels, over the limit of 0\.01\."):
        compress(source, ImageOptions(), small)


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
    assert avif.read_header(lie) == Header(width=64, height=64, is_buffered=True)
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
    assert avif.read_header(save(picture, "AVIF")) == buffered
    assert bmp.read_header(save(picture, "BMP")) == buffered
    vips = pyvips.Image.black(123, 45)
    assert tiff.read_header(vips.tiffsave_buffer(**how)) == Header(width=123, height=45, lossless=True)
    assert not tiff.read_header(vips.tiffsave_buffer(compression="jpeg", **how)).lossless
    assert look(BytesIO(save(picture, "BMP")).getvalue()).size == (123, 45)


def test_the_limit_itself_is_allowed() -> None:
    limits = Limits(
        max_pixels=160 * 120, max_side_pixels=160, max_frames=1, max_buffered_pixels=1, max_progressive_pixels=1
    )
    assert compress(save(photo(), "PNG"), ImageOptions(), limits)[0].width == 160
    assert LIMITS.max_pixels == 50_000_000


def is_allowed(header: Header) -> bool:
    try:
        check(header, LIMITS)
    except ImageError as error:
        assert error.code is ImageErrorCode.TOO_MANY_PIXELS  # noqa: PT017 - nothing else is possible here
        return False
    return True


@pytest.mark.parametrize("name", BUFFERED)
def test_formats_that_are_held_in_memory_have_their_own_limit(name: str) -> None:
    error = refusal(BOMBS[name](6_000, 5_000))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert error.message == "The image has 30 megapixels, over the limit of 16. Make it smaller."
    check(Header(width=4_000, height=4_000, is_buffered=True), LIMITS)
    assert not is_allowed(Header(width=4_001, height=4_000, is_buffered=True))


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff"])
def test_formats_that_go_row_by_row_have_the_larger_one(name: str) -> None:
    data = BOMBS[name](6_000, 5_000)
    try:
        run(data)
    except ImageError as error:
        assert error.code is ImageErrorCode.CORRUPT_IMAGE  # noqa: PT017 - the pixels are missing, not too many
    check(Header(width=10_000, height=5_000), LIMITS)
    assert not is_allowed(Header(width=10_001, height=5_000))


def test_an_interlaced_png_is_held_in_memory() -> None:
    assert png.read_header(png_of(6_000, 5_000, interlaced=1)).is_buffered
    assert not png.read_header(png_of(6_000, 5_000)).is_buffered
    error = refusal(png_of(6_000, 5_000, interlaced=1))
    assert error.message == "The image has 30 megapixels, over the limit of 16. Make it smaller."


def test_the_lower_of_two_limits_counts() -> None:
    limits = Limits(
        max_pixels=100, max_side_pixels=100, max_frames=9, max_buffered_pixels=1_000, max_progressive_pixels=1
    )
    check(Header(width=10, height=10, is_buffered=True), limits)
    with pytest.raises(ImageError, match=r"has 0\.00011 megapixels, over the limit of 0\.0001\."):
        check(Header(width=11, height=10, is_buffered=True), limits)


def test_frames_share_the_limit() -> None:
    check(Header(width=400, height=400, frames=100, is_buffered=True), LIMITS)
    with pytest.raises(ImageError) as caught:
        check(Header(width=700, height=700, frames=100, is_buffered=True), LIMITS)
    assert caught.value.code is ImageErrorCode.TOO_MANY_PIXELS
    assert caught.value.message == (
        "The animation has 100 frames of 0.49 megapixels, 49 in all. "
        "This is over the limit of 16: make it smaller or shorter."
    )


@pytest.mark.parametrize(
    ("width", "height", "scans"), [(5_000, 4_000, 20), (4_000, 2_500, 40), (2_000, 2_000, 100), (1, 1, 100)]
)
def test_the_smaller_a_progressive_jpeg_the_more_scans_it_may_have(width: int, height: int, scans: int) -> None:
    assert is_allowed(Header(width=width, height=height, scans=scans))
    assert width * height < 4_000_000 or not is_allowed(Header(width=width, height=height, scans=scans + 1))


def test_too_many_scans_are_said_so() -> None:
    with pytest.raises(ImageError) as caught:
        check(Header(width=5_000, height=4_000, scans=21), LIMITS)
    found = "The image is a progressive JPEG of 20 megapixels in 21 scans"
    message = f"{found}, over the limit of 20 for this size. Save it as a baseline JPEG."
    assert (caught.value.code, caught.value.message) == (ImageErrorCode.TOO_MANY_PIXELS, message)


def test_four_colours_are_more_to_hold_than_three() -> None:
    source = save(photo().convert("CMYK"), "JPEG", progressive=True)
    assert jpeg.read_header(source) == Header(width=160, height=120, scans=18, colours=4)
    assert is_allowed(Header(width=5_000, height=3_000, scans=20, colours=4))
    with pytest.raises(ImageError, match=r"progressive JPEG of 16 megapixels, over the limit of 15\."):
        check(Header(width=5_000, height=3_200, scans=18, colours=4), LIMITS)


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
