"""The page of a TIFF that is taken, and camera raw files, whose first page is a preview."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import pytest

from actors.imaging.containers.tiff_directories import read_directories
from cluster.codes import ImageErrorCode
from cluster.records import Decision
from tests.unit.actors.imaging.pictures import pixel, refusal, run

SMALL, LARGE = (80, 60), (800, 600)
GREY, DARK = 200, 90
REDUCED, MASK, OLD_REDUCED = (254, 1), (254, 4), (255, 2)
RAW_DATA = (262, 32803)
DNG = (50706, 0x00000104)
INNER = 330


@dataclass(frozen=True)
class Page:
    """A flat grey page of 8 bits. `more` are its other fields, and `inner` the pictures that belong to it."""

    size: tuple[int, int]
    grey: int = GREY
    more: tuple[tuple[int, int], ...] = ()
    inner: tuple[Page, ...] = ()


def tiff(*pages: Page, order: str = "<", is_big: bool = False, mark: bytes = b"") -> bytes:
    """Build a file of several pages."""
    offset, counter = ("Q", "Q") if is_big else ("I", "H")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if is_big else 42)
    body = head + struct.pack(order + "HH", 8, 0) if is_big else head
    link = len(body)
    file = bytearray(body + struct.pack(order + offset, 0) + mark)

    def write(page: Page) -> int:
        starts = [write(each) for each in page.inner]
        pixels = len(file)
        file.extend(bytes([page.grey]) * (page.size[0] * page.size[1]))
        width, height = page.size
        fields = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: pixels, 277: 1, 278: height}
        values = {tag: [value] for tag, value in ({**fields, 279: width * height} | dict(page.more)).items()}
        if starts:
            values[INNER] = starts
        table = struct.pack(order + counter, len(values))
        for tag, numbers in sorted(values.items()):
            packed = struct.pack(f"{order}{len(numbers)}{offset}", *numbers)
            if len(numbers) > 1:
                file.extend(packed)
                packed = struct.pack(order + offset, len(file) - len(packed))
            table += struct.pack(order + "HH" + offset, tag, 16 if is_big else 4, len(numbers)) + packed
        start = len(file)
        file.extend(table)
        file.extend(struct.pack(order + offset, 0))
        return start

    for page in pages:
        struct.pack_into(order + offset, file, link, write(page))
        link = len(file) - struct.calcsize(offset)
    return bytes(file)


@pytest.mark.parametrize("mark", [REDUCED, OLD_REDUCED])
@pytest.mark.parametrize(("order", "is_big"), [("<", False), (">", False), ("<", True), (">", True)])
@pytest.mark.parametrize("options", [{}, {"format": "png"}, {"format": "jpeg", "max_width": 400}])
def test_the_page_behind_a_thumbnail_is_taken(
    mark: tuple[int, int], order: str, *, is_big: bool, options: dict[str, object]
) -> None:
    source = tiff(Page(SMALL, DARK, (mark,)), Page(LARGE), Page(SMALL, DARK), order=order, is_big=is_big)
    output = run(source, **options)
    assert (output.width, output.height) == ((400, 300) if "max_width" in options else LARGE)
    assert pixel(output.data) == (GREY, GREY, GREY)
    assert output.decision is Decision.COMPRESSED


def test_a_page_of_another_shape_is_taken_when_the_first_one_says_that_it_is_a_thumbnail() -> None:
    assert run(tiff(Page((160, 120), DARK, (REDUCED,)), Page((900, 600)))).width == 900


def test_a_thumbnail_is_known_by_its_size_too() -> None:
    output = run(tiff(Page((160, 107), DARK), Page((900, 600)), Page((450, 300), DARK)))
    assert (output.width, pixel(output.data)) == (900, (GREY,) * 3)


@pytest.mark.parametrize("keep_metadata", [False, True])
def test_the_source_is_not_handed_on_with_its_thumbnail_first(*, keep_metadata: bool) -> None:
    source = tiff(Page((8, 6), DARK, (REDUCED,)), Page((16, 12)))
    output = run(source, keep_metadata=keep_metadata)
    assert output.decision is Decision.COMPRESSED
    assert (output.width, pixel(output.data, (3, 3))) == (16, (GREY,) * 3)


def test_a_mask_is_no_page() -> None:
    assert (
        run(tiff(Page(LARGE, DARK, (MASK,)), Page(LARGE)), format="png").data
        == run(tiff(Page(LARGE)), format="png").data
    )


@pytest.mark.parametrize(
    "others",
    [
        *([Page(SMALL, DARK, (REDUCED,))], [Page(LARGE, DARK)], [Page((1600, 1200), DARK)], [Page((300, 900), DARK)]),
        [],
    ],
)
def test_the_first_page_stays_when_it_is_no_thumbnail(others: list[Page]) -> None:
    output = run(tiff(Page(LARGE), *others), format="png")
    assert ((output.width, output.height), pixel(output.data)) == (LARGE, (GREY,) * 3)


def test_a_small_page_stays_when_the_next_one_has_another_shape() -> None:
    assert run(tiff(Page((100, 100)), Page((800, 600), DARK)), format="png").width == 100


def test_a_page_alone_stays_whatever_it_says_of_itself() -> None:
    assert run(tiff(Page(SMALL, GREY, (REDUCED,))), format="png").width == SMALL[0]


def test_smaller_sizes_that_belong_to_a_page_change_nothing() -> None:
    sizes = (Page((400, 300), DARK, (REDUCED,)), Page((200, 150), DARK, (REDUCED,)))
    assert run(tiff(replace(Page(LARGE), inner=sizes)), format="png").width == LARGE[0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_thumbnail_whose_picture_is_no_page_is_refused(count: int) -> None:
    error = refusal(tiff(Page(SMALL, DARK, (REDUCED,), (Page((40, 30)), Page(LARGE))[-count:])))
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert "a TIFF whose pages are thumbnails of a larger picture" in error.message


def test_a_broken_page_behind_the_first_one_is_damage() -> None:
    source = bytearray(tiff(Page(LARGE)))
    source[-4:] = struct.pack("<I", len(source) - 2)
    assert refusal(bytes(source)).code is ImageErrorCode.CORRUPT_IMAGE


def test_pages_that_follow_themselves_end() -> None:
    source = bytearray(tiff(Page(LARGE)))
    source[-4:] = source[4:8]
    assert read_directories(bytes(source)).pages[0].width == LARGE[0]


def test_a_file_without_a_page_is_damage() -> None:
    assert refusal(b"II*\0" + bytes(400)).message == "The image is damaged: it has no picture in it. Replace the file."


@pytest.mark.parametrize(("order", "is_big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize(
    ("page", "name"),
    [
        (Page((160, 120), more=(REDUCED, DNG), inner=(Page(LARGE, more=(RAW_DATA,)), Page(LARGE))), "(DNG)"),
        (Page(LARGE, more=(DNG,)), "(DNG)"),
        (Page((160, 120), more=(REDUCED,), inner=(Page(LARGE), Page(LARGE, more=(RAW_DATA,)))), "camera raw"),
        (Page((160, 120), more=(REDUCED,), inner=(Page(LARGE, more=((262, 34892),)),)), "camera raw"),
        (Page((160, 120), inner=(Page(LARGE, more=((259, 34713),)),)), "camera raw"),
        (Page((160, 120), inner=(Page(LARGE, more=((259, 32767),)),)), "camera raw"),
        (Page(LARGE, more=((259, 65535),)), "camera raw"),
    ],
)
def test_a_camera_raw_file_is_refused_by_name(page: Page, name: str, order: str, *, is_big: bool) -> None:
    error = refusal(tiff(page, order=order, is_big=is_big))
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert name in error.message
    assert "camera raw picture" in error.message


def test_raw_data_on_a_later_page_counts() -> None:
    error = refusal(tiff(Page((160, 120)), Page(LARGE, more=(RAW_DATA,))))
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("mark", [b"CR\x02\0", b"IIII", b"MMMM"])
def test_the_mark_of_a_maker_counts(mark: bytes) -> None:
    assert "camera raw" in refusal(tiff(Page((160, 120)), mark=mark)).message


@pytest.mark.parametrize(
    ("head", "name"),
    [
        *((b"IIRO\x08\0\0\0", "ORF"), (b"IIRS", "ORF"), (b"MMOR", "ORF"), (b"IIU\0\x18\0\0\0", "RW2")),
        *((b"FUJIFILMCCD-RAW 0201", "RAF"), (b"II\x1a\0\0\0HEAPCCDR", "CRW"), (b"\0MRM", "MRW"), (b"FOVb", "X3F")),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3"),
    ],
)
def test_a_camera_raw_file_of_another_kind_is_refused_by_name(head: bytes, name: str) -> None:
    error = refusal(head + bytes(99))
    assert error.code is ImageErrorCode.UNSUPPORTED_FORMAT
    assert f"a camera raw picture ({name})" in error.message
