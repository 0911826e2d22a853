"""The pictures that ship with the demo: every kind is there, each has its licence, and each is in the catalogue."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from PIL import ExifTags, Image

from deployments.demo.catalogue import ROWS
from deployments.demo.image_host import Behaviour, SourceImage, broken
from deployments.demo.run import PICTURES

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 6_000_000
MIN_SUCCEEDING_IMAGES = 24
LICENCE_FILE = "LICENSES.md"
FREE_LICENCES = {"CC0 1.0", "CC BY 2.0", "CC BY 4.0", "CC BY-SA 3.0", "CC BY-SA 4.0", "public domain"}
LOWEST_JPEG_MEGAPIXELS, HIGHEST_JPEG_MEGAPIXELS = 0.24, 12.0

FILES = sorted(path for path in PICTURES.iterdir() if path.name != LICENCE_FILE)
IMAGES = [source for row in ROWS for source in row.images]


def megapixels(picture: Image.Image) -> float:
    return picture.width * picture.height / 1e6


def jpegs() -> list[Path]:
    return [path for path in FILES if path.suffix == ".jpg"]


def named_as(kind: str) -> list[str]:
    found = []
    for path in FILES:
        with Image.open(path) as picture:
            if kind in kinds_of(picture):
                found.append(path.name)
    return found


def kinds_of(picture: Image.Image) -> set[str]:
    frames = getattr(picture, "n_frames", 1)
    kinds = {f"{picture.format}", f"{picture.format} {picture.mode}"}
    kinds |= {f"{picture.format} animated"} if frames > 1 else set()
    kinds |= {"progressive"} if picture.info.get("progressive") else set()
    kinds |= {"turned"} if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1 else set()
    return kinds


@pytest.mark.parametrize(
    "kind",
    [
        "JPEG RGB",
        "JPEG L",
        "JPEG CMYK",
        "PNG RGB",
        "PNG RGBA",
        "WEBP RGB",
        "GIF animated",
        "BMP",
        "progressive",
        "turned",
    ],
)
def test_every_kind_is_there(kind: str) -> None:
    assert named_as(kind)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_decodes_and_has_the_format_of_its_name(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()
        assert Image.registered_extensions()[path.suffix] == picture.format


def test_the_jpegs_are_small_and_large() -> None:
    sizes = []
    for path in jpegs():
        with Image.open(path) as picture:
            sizes.append(megapixels(picture))
    assert LOWEST_JPEG_MEGAPIXELS <= min(sizes) < 0.5
    assert 11.5 < max(sizes) <= HIGHEST_JPEG_MEGAPIXELS
    assert len([size for size in sizes if 1 <= size <= 5]) >= 6


def test_the_turned_one_shows_upright() -> None:
    (name,) = named_as("turned")
    with Image.open(PICTURES / name) as picture:
        assert picture.width > picture.height
        assert picture.getexif()[ExifTags.Base.Orientation] == 6


def test_the_cut_out_has_clear_solid_and_soft_pixels() -> None:
    (name,) = named_as("PNG RGBA")
    with Image.open(PICTURES / name) as picture:
        alpha = picture.getchannel("A").histogram()
    assert alpha[0] > 1000
    assert alpha[255] > 1000
    assert sum(alpha[1:255]) > 100


def test_the_animation_moves() -> None:
    (name,) = named_as("GIF animated")
    with Image.open(PICTURES / name) as picture:
        frames = set()
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            frames.add(picture.convert("RGB").tobytes())
    assert len(frames) >= 8


def test_one_is_smaller_than_an_encoder_makes_it() -> None:
    assert "red-cocktail.jpg" in [path.name for path in jpegs() if path.stat().st_size < encoded_bytes(path)]


def encoded_bytes(path: Path) -> int:
    file = io.BytesIO()
    with Image.open(path) as picture:
        picture.save(file, "JPEG", quality=75, optimize=True, progressive=True)
    return file.tell()


def test_they_are_light() -> None:
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= MAX_BYTES


def test_each_has_its_licence() -> None:
    text = (PICTURES / LICENCE_FILE).read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    assert [row[0].strip("`") for row in rows] == [path.name for path in FILES]
    for file, shows, author, source, licence, changes in rows:
        assert all((shows, author, source, changes)), file
        assert licence in FREE_LICENCES, file
    assert {found.lower() for found in re.findall(r"^- ([^:]+):", text, re.MULTILINE)} == {
        row[4].lower() for row in rows
    }


def test_each_is_in_the_catalogue() -> None:
    used = {source.filename for source in IMAGES if source.behaviour != Behaviour.MISSING}
    assert used == {path.name for path in FILES}
    assert not [
        source for source in IMAGES if source.behaviour == Behaviour.MISSING and (PICTURES / source.filename).exists()
    ]


def test_the_catalogue_has_each_kind_of_trouble_once_and_enough_that_succeeds() -> None:
    counts = Counter(source.behaviour for source in IMAGES)
    assert (counts[Behaviour.SLOW], counts[Behaviour.BROKEN], counts[Behaviour.MISSING]) == (1, 1, 1)
    assert len([source for source in IMAGES if source.behaviour.expected_code is None]) >= MIN_SUCCEEDING_IMAGES
    assert 16 <= len(ROWS) <= 20
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_product_in_trouble_keeps_a_good_picture() -> None:
    for row in ROWS:
        assert [source for source in row.images if source.behaviour.expected_code is None], row.name


@pytest.mark.parametrize("source", [source for source in IMAGES if source.behaviour == Behaviour.BROKEN], ids=str)
def test_the_broken_one_opens_and_does_not_decode(source: SourceImage) -> None:
    content = broken((PICTURES / source.filename).read_bytes())
    with Image.open(io.BytesIO(content)) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()
