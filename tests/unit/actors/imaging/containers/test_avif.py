"""The header of an AVIF: the largest picture counts, and no box leads the reader astray."""

from __future__ import annotations

import struct

import pytest

from actors.imaging.containers import avif
from actors.imaging.header import MAX_BLOCKS, Header
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from tests.unit.actors.imaging.hostile.avifs import box, extents, file_type, full, still

WIDTH, HEIGHT = 640, 480
HEADER = Header(width=WIDTH, height=HEIGHT, is_buffered=True)
META = full(b"meta", extents(WIDTH, HEIGHT))
FILE = file_type() + META + box(b"mdat", bytes(99))


def large_box(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    """Make a box whose size has 64 bits."""
    return struct.pack(">I4sQ", 1, kind, 16 + len(payload) if size is None else size) + payload


def refused(data: bytes) -> tuple[ImageErrorCode, str]:
    with pytest.raises(ImageError) as caught:
        avif.read_header(data)
    return caught.value.code, caught.value.message


def test_the_size_is_known_as_soon_as_its_bytes_are_there() -> None:
    enough = FILE.index(b"ispe") + 4 + 4 + 8
    for end in range(1, len(FILE)):
        if end < enough:
            code, message = refused(FILE[:end])
            assert code is ImageErrorCode.CORRUPT_IMAGE
            assert message.startswith("The image is damaged: it ")
        else:
            assert avif.read_header(FILE[:end]) == HEADER


@pytest.mark.parametrize(
    "data",
    [
        file_type() + box(b"free", bytes(9)) + META,
        file_type() + large_box(b"free", bytes(9)) + META,
        file_type() + large_box(b"meta", META[8:]),
        file_type() + box(b"meta", META[8:], 0),
        file_type() + box(b"meta", META[8:], 2**32 - 1),
        file_type() + large_box(b"meta", META[8:], 2**64 - 1),
    ],
    ids=["after another", "after one of 64 bits", "of 64 bits", "to the end", "beyond the end", "far beyond the end"],
)
def test_the_box_of_the_size_is_found(data: bytes) -> None:
    assert avif.read_header(data) == HEADER


@pytest.mark.parametrize("size", [2, 7])
def test_a_box_shorter_than_its_own_head_is_as_long_as_that(size: int) -> None:
    assert avif.read_header(file_type() + box(b"free", b"", size) + META) == HEADER
    assert avif.read_header(file_type() + large_box(b"free", b"", size) + META) == HEADER


def test_a_box_that_hides_the_size_makes_the_file_damaged() -> None:
    for hides in (box(b"free", b"", 0), box(b"free", b"", 2**32 - 1), large_box(b"free", b"", 2**64 - 1)):
        code, message = refused(file_type() + hides + META)
        assert (code, message) == (
            ImageErrorCode.CORRUPT_IMAGE,
            "The image is damaged: it has no picture in it. Replace the file.",
        )


def test_the_largest_size_of_any_picture_counts() -> None:
    assert avif.read_header(still(64, 64, extents(9, 5_000), extents(7_000, 9))) == Header(
        width=7_000, height=5_000, is_buffered=True, decoded_pixels=128 * 128
    )


def test_a_size_among_the_pixels_does_not_count() -> None:
    assert avif.read_header(FILE + box(b"mdat", extents(9_000, 9_000))) == HEADER


@pytest.mark.parametrize("data", [file_type() + box(b"mini", bytes(99)), file_type(b"avis") + box(b"moov", bytes(99))])
def test_a_file_without_a_still_picture_is_not_supported(data: bytes) -> None:
    code, message = refused(data)
    assert code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert message == "The file is an AVIF without a still picture, which is not supported. Use a still image."


def test_boxes_and_sizes_without_end_are_damage() -> None:
    too_many = "The image is damaged: it has too many parts. Replace the file."
    for data in (
        file_type() + box(b"free", b"") * MAX_BLOCKS + META,
        file_type() + full(b"meta", extents(WIDTH, HEIGHT) * (MAX_BLOCKS + 1)),
    ):
        assert refused(data) == (ImageErrorCode.CORRUPT_IMAGE, too_many)


@pytest.mark.parametrize(
    ("more", "is_only"),
    [(b"", True), (box(b"mdat", bytes(9)), True), (box(b"moov", bytes(9)), False), (bytes(7), False), (b"\0", False)],
)
def test_whether_there_is_more_than_a_picture(more: bytes, *, is_only: bool) -> None:
    assert avif.is_picture_only(FILE + more) is is_only
