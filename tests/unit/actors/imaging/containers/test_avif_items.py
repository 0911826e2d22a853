"""The pixels that an AVIF makes its decoder decode."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

import pytest
from PIL import Image as Pillow

from actors.imaging.containers import avif
from actors.imaging.decode import decode
from actors.imaging.formats import SourceFormat
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from tests.unit.actors.imaging.hostile.avifs import (
    TILE,
    Item,
    auxiliary,
    box,
    coded,
    extents,
    full,
    grid,
    overlay,
    references,
    repeated,
    still,
    two_grids_of_each_other,
)
from tests.unit.actors.imaging.hostile.avifs import avif as avif_of
from tests.unit.actors.imaging.pace import slowdown
from tests.unit.actors.imaging.pictures import photo, save

SMALLEST = 128 * 128
"""The pixels that a smaller picture counts as."""


def pixels(data: bytes) -> int:
    return avif.read_header(data).decoded_pixels


def cpu_seconds(data: bytes) -> float:
    started = time.process_time()
    decode(data, SourceFormat.AVIF, in_memory=True)
    return time.process_time() - started


def test_a_still_is_decoded_once() -> None:
    assert pixels(save(photo(640, 480), "AVIF")) == 640 * 480
    assert pixels(still()) == SMALLEST


def test_an_alpha_channel_is_another_picture() -> None:
    picture = photo(640, 480)
    picture.putalpha(Pillow.linear_gradient("L").resize((640, 480)))
    assert pixels(save(picture, "AVIF")) == 2 * 640 * 480
    assert pixels(auxiliary(b"auxl", 2, 1)) == 2 * SMALLEST
    assert pixels(auxiliary(b"thmb", 2, 1)) == SMALLEST


def test_the_frames_of_a_sequence_are_not_decoded() -> None:
    assert pixels(save(photo(640, 480), "AVIF", save_all=True, append_images=[photo(640, 480, 2)] * 9)) == 640 * 480


def test_every_tile_and_layer_counts() -> None:
    assert pixels(grid(16, 16, 16 * 256, 16 * 256, tile=256)) == 16 * 16 * 256 * 256
    assert pixels(grid(16, 16, 256, 256, tile=256)) == 16 * 16 * 256 * 256
    assert pixels(overlay(64, 64, 900)) == 900 * SMALLEST


def test_tiles_of_tiles_multiply() -> None:
    data, configuration = coded(256)
    layout = struct.pack(">BBBBII", 0, 1, 29, 29, 256, 256)
    items = [Item(b"grid", layout, TILE), Item(b"grid", layout, TILE), Item(b"av01", data, TILE)]
    links = references(b"dimg", 1, [2] * 900) + references(b"dimg", 2, [3] * 900)
    assert pixels(avif_of(items, [configuration, extents(256, 256)], links)) == 900 * 900 * 256 * 256


def test_hidden_frames_count_because_they_are_decoded() -> None:
    one, many = repeated(1), repeated(30)
    assert pixels(many) == 30 * pixels(one) == 30 * 1_024 * 1_024
    assert cpu_seconds(many) > 5 * min(cpu_seconds(one) for _ in range(3))


def test_a_coded_picture_that_refers_to_another_counts_itself_too() -> None:
    data, configuration = coded(256)
    items = [Item(b"av01", data * 3, TILE), Item(b"av01", data, TILE)]
    file = avif_of(items, [configuration, extents(256, 256)], references(b"dimg", 1, [2]))
    assert pixels(file) == 4 * 256 * 256


def test_frames_in_the_configuration_are_damage() -> None:
    data, configuration = coded(256)
    with pytest.raises(ImageError, match="its configuration has frames"):
        avif.read_header(
            avif_of([Item(b"av01", data, TILE)], [box(b"av1C", configuration[8:] + data), extents(256, 256)])
        )


@pytest.mark.parametrize("data", [two_grids_of_each_other(), auxiliary(b"auxl", 1, 1)])
def test_pictures_of_each_other_are_damage(data: bytes) -> None:
    with pytest.raises(ImageError, match="its pictures are made of each other") as caught:
        avif.read_header(data)
    assert caught.value.code is ImageErrorCode.CORRUPT_IMAGE


def located(version: int, method: int, parts: list[tuple[int, int]]) -> bytes:
    """Return a table of the places of item 1, with offsets and lengths of 4 bytes."""
    head = struct.pack(">H", 0x4400) + struct.pack(">I" if version > 1 else ">H", 1)
    item = struct.pack(">I" if version > 1 else ">H", 1) + (struct.pack(">H", method) if version else b"")
    item += struct.pack(">HH", 0, len(parts)) + b"".join(struct.pack(">II", *part) for part in parts)
    return full(b"iloc", head + item, version)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_data_in_several_parts_is_joined(version: int) -> None:
    source = repeated(3)
    start, end = source.index(b"mdat") + 4, len(source)
    middle = (start + end) // 2
    parts = located(version, 0, [(start, middle - start), (middle, end - middle)])
    # The other table stands behind the picture. So nothing in the file moves.
    assert pixels(source.replace(b"iloc", b"free") + full(b"meta", parts)) == 3 * 1_024 * 1_024


def test_data_in_the_description_is_found() -> None:
    data, configuration = coded(1_024)
    source = avif_of([Item(b"av01", b"", TILE)], [configuration, extents(1_024, 1_024)])
    idat = struct.pack(">I", 8 + 4 * len(data)) + b"idat" + 4 * data
    description = full(b"meta", idat + located(1, 1, [(0, 4 * len(data))]))
    assert pixels(source.replace(b"iloc", b"free") + description) == 4 * 1_024 * 1_024


@pytest.mark.parametrize("parts", [[(0, 400)] * 30, [(0, 2**32 - 1)] * 3])
def test_data_that_overlaps_is_damage(parts: list[tuple[int, int]]) -> None:
    data, configuration = coded()
    source = avif_of([Item(b"av01", data, TILE)], [configuration, extents(64, 64)])
    with pytest.raises(ImageError, match="its data overlaps"):
        avif.read_header(source + full(b"meta", located(1, 0, parts)))


def test_pictures_may_share_their_data_but_not_a_part_of_it() -> None:
    data, configuration = coded()
    tile, count = Item(b"av01", data, TILE), 100
    layout = Item(b"grid", struct.pack(">BBBBII", 0, 1, 9, 9, 640, 640), (3,))
    links = references(b"dimg", 1, list(range(2, 2 + count)))
    properties = [configuration, extents(64, 64), extents(640, 640)]
    start = len(data)
    shared = [replace(tile, data=b"", offset=start, length=len(data)) for _ in range(count)]
    assert pixels(avif_of([layout, *shared], properties, links) + bytes(start)) == count * SMALLEST
    parts = [replace(tile, data=b"", offset=start + n, length=len(data)) for n in range(count)]
    with pytest.raises(ImageError, match="its data overlaps"):
        avif.read_header(avif_of([layout, *parts], properties, links))


def test_data_inside_of_other_data_is_refused() -> None:
    with pytest.raises(ImageError, match="its data is inside of other data"):
        avif.read_header(still() + full(b"meta", located(1, 2, [(0, 9)])))


TABLES = {
    "places": lambda: full(b"iloc", struct.pack(">HI", 0, 2**32 - 1) + bytes(8_000_000), 2),
    "parts of places": lambda: full(b"iloc", struct.pack(">HH", 0, 999) + struct.pack(">HHH", 1, 0, 65_535) * 999),
    "references": lambda: full(b"iref", references(b"dimg", 1, [2] * 50_000) * 40),
    "references to nothing": lambda: full(b"iref", references(b"dimg", 1, []) * 500_000),
    "properties": lambda: box(b"iprp", box(b"ipco", box(b"free", b"") * 500_000)),
    "items with properties": lambda: box(b"iprp", full(b"ipma", struct.pack(">I", 2**32 - 1) + bytes(4_000_000))),
    "descriptions": lambda: b"".join(box(b"free", b"") for _ in range(500_000)),
    "data": lambda: box(b"idat", b"\x12\0" * 500_000) + located(1, 1, [(0, 1_000_000)]),
}


@pytest.mark.cpu
@pytest.mark.parametrize("kind", TABLES)
def test_tables_without_end_are_damage_at_once(kind: str) -> None:
    data = still().replace(b"iloc", b"free") + full(b"meta", TABLES[kind]())
    started = time.process_time()
    with pytest.raises(ImageError) as caught:
        avif.read_header(data)
    assert time.process_time() - started < 1 * slowdown()
    assert caught.value.message == "The image is damaged: it has too many parts. Replace the file."
