"""The picture of a TIFF or BigTIFF that is taken: the first page, unless that is a thumbnail of another one.

A camera raw file is a TIFF, too. Its first page is a small preview, and its picture is refused by name. Sources:
Adobe, "TIFF, revision 6.0" and "Digital Negative (DNG)", ISO 12234-2 (TIFF/EP), and the makers' tags in libtiff.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.imaging.containers import tiff_directories as tags
from actors.imaging.containers.tiff_directories import Directories, Directory, read_directories
from actors.imaging.header import Header, corrupt, unsupported
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2  # bits of the kind, and a value of the old kind
_LOSSY_COMPRESSIONS = frozenset({6, 7, 34892, 50001, 50002, 52546})  # JPEG (old, new, DNG), WebP, JPEG XL
_RAW_PHOTOMETRICS = frozenset({32803, 34892})  # a colour filter array, and linear raw
_RAW_COMPRESSIONS = frozenset({32767, 32770, 34713, 34892, 65000, 65535})  # Sony, Samsung, Nikon, DNG, Kodak, Pentax
_RAW_MARKS = (b"CR\x02", b"IIII", b"MMMM")  # of Canon and Phase One, behind the head of the file
_MAX_SAMPLES = 8  # CMYK, alpha and a few spot colours
_MAX_TILE_SIDE_PIXELS = 4096  # the limit where the image is smaller than that
_MAX_THUMBNAIL_SIDE_PIXELS = 320  # of one that does not say that it is one; scanned pages are larger
_MIN_REDUCTION = 2


def read_header(data: bytes) -> Header:
    """Read the size of the page that is taken.

    Raises:
        ImageError: `corrupt_image`, or `unsupported_format` for a camera raw file, for more than 8 samples a pixel, and
            for a thumbnail whose picture is no page.
    """
    found = read_directories(data)
    _refuse_raw(data, found)
    number = _page_number(found)
    page = found.pages[number]
    if page.fields.get(tags.TILE_WIDTH, 0) > max(page.width, _MAX_TILE_SIDE_PIXELS):
        raise corrupt("its tiles are wider than the picture")
    if page.fields.get(tags.TILE_HEIGHT, 0) > max(page.height, _MAX_TILE_SIDE_PIXELS):
        raise corrupt("its tiles are higher than the picture")
    samples = page.fields.get(tags.SAMPLES, 1)
    if samples > _MAX_SAMPLES:
        message = f"The image is a TIFF with {samples:,} channels, over the limit of {_MAX_SAMPLES}."
        raise ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, f"{message} Save it as RGB or CMYK.")
    lossless = page.fields.get(tags.COMPRESSION, 1) not in _LOSSY_COMPRESSIONS
    return Header(width=page.width, height=page.height, lossless=lossless, page=number)


def _refuse_raw(data: bytes, found: Directories) -> None:
    directories = [*found.pages, *found.parts]
    if any(tags.DNG_VERSION in each.fields for each in directories):
        raise unsupported("a camera raw picture (DNG)")
    if data.startswith(_RAW_MARKS, 8) or any(_is_raw(each) for each in directories):
        raise unsupported("a camera raw picture")


def _is_raw(directory: Directory) -> bool:
    return (
        directory.fields.get(tags.PHOTOMETRIC) in _RAW_PHOTOMETRICS
        or directory.fields.get(tags.COMPRESSION) in _RAW_COMPRESSIONS
    )


def _page_number(found: Directories) -> int:
    """Return the number of the page that is taken, counted from 0."""
    pages = found.pages
    number = next((n for n, page in enumerate(pages) if not _says_thumbnail(page) and not _is_mask(page)), 0)
    larger = _largest(each for each in [*pages, *found.parts] if _is_thumbnail(pages[number], each))
    if larger is None:
        return number
    if larger not in pages:
        raise unsupported("a TIFF whose pages are thumbnails of a larger picture")
    return next(n for n, page in enumerate(pages) if page is larger)


def _says_thumbnail(directory: Directory) -> bool:
    fields = directory.fields
    return bool(fields.get(tags.KIND, 0) & _REDUCED) or fields.get(tags.OLD_KIND) == _OLD_REDUCED


def _is_mask(directory: Directory) -> bool:
    return bool(directory.fields.get(tags.KIND, 0) & _MASK)


def _is_thumbnail(small: Directory, large: Directory) -> bool:
    """Return whether one picture is a thumbnail of the other, as far as the file tells."""
    if _is_mask(large):
        return False
    if _says_thumbnail(small):
        return large.width > small.width and large.height > small.height
    return (
        max(small.width, small.height) <= _MAX_THUMBNAIL_SIDE_PIXELS
        and large.width >= _MIN_REDUCTION * max(1, small.width)
        and large.height >= _MIN_REDUCTION * max(1, small.height)
        and abs(small.height - small.width * large.height / large.width) <= 1
    )


def _largest(directories: Iterable[Directory]) -> Directory | None:
    return max(directories, key=lambda each: each.width * each.height, default=None)
