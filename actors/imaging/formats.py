"""Formats: how the bytes of a file tell its format, and the facts about each output format.

Sources: the signatures of the IANA media types' specifications and of the WHATWG MIME Sniffing Standard.
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from actors.imaging.header import unsupported
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.records import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPES: Mapping[ImageFormat, str] = MappingProxyType(
    {
        ImageFormat.JPEG: "image/jpeg",
        ImageFormat.PNG: "image/png",
        ImageFormat.WEBP: "image/webp",
        ImageFormat.AVIF: "image/avif",
        ImageFormat.GIF: "image/gif",
        ImageFormat.TIFF: "image/tiff",
    },
)
"""The media type of each output format."""

EXTENSIONS: Mapping[ImageFormat, str] = MappingProxyType(
    {
        ImageFormat.JPEG: "jpg",
        ImageFormat.PNG: "png",
        ImageFormat.WEBP: "webp",
        ImageFormat.AVIF: "avif",
        ImageFormat.GIF: "gif",
        ImageFormat.TIFF: "tiff",
    },
)
"""The file name extension of each output format, without a dot."""

ANIMATED_FORMATS = frozenset({ImageFormat.GIF, ImageFormat.WEBP})
"""The output formats in which animations are written."""

PROFILE_FORMATS = frozenset(ImageFormat) - {ImageFormat.GIF}
"""The output formats that can hold a colour profile."""


def display_name(target: ImageFormat) -> str:
    """Return the name of an output format for messages."""
    return "WebP" if target is ImageFormat.WEBP else target.value.upper()


class SourceFormat(StrEnum):
    """The formats that are read. Each value is that of `ImageFormat`, if it has the format."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"
    AVIF = "avif"
    TIFF = "tiff"
    BMP = "bmp"


_SIGNATURES = (
    (b"\xff\xd8\xff", SourceFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", SourceFormat.PNG),
    (b"GIF87a", SourceFormat.GIF),
    (b"GIF89a", SourceFormat.GIF),
    (b"II*\0", SourceFormat.TIFF),
    (b"MM\0*", SourceFormat.TIFF),
    (b"II+\0\x08\0\0\0", SourceFormat.TIFF),  # BigTIFF
    (b"MM\0+\0\x08\0\0", SourceFormat.TIFF),
)

# Files that a catalogue may point to by mistake, with their everyday names.
_UNSUPPORTED = (
    (b"%PDF-", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\x01\0", "an icon file"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"IIRO", "a camera raw picture (ORF)"),
    (b"IIRS", "a camera raw picture (ORF)"),
    (b"MMOR", "a camera raw picture (ORF)"),
    (b"IIU\0", "a camera raw picture (RW2)"),
    (b"FUJIFILMCCD-RAW", "a camera raw picture (RAF)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a camera raw picture (CRW)"),
    (b"\0MRM", "a camera raw picture (MRW)"),
    (b"FOVb", "a camera raw picture (X3F)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"\xb6\xa6\xf2\x08", "a libvips picture"),
    (b"\x08\xf2\xa6\xb6", "a libvips picture"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
)

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"mif2", b"msf1"})
_SVG = re.compile(rb"<(?:\w+:)?svg[\s>]", re.IGNORECASE)
_HTML = re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE)
_MAX_SEARCHED_BYTES = 4096


def identify(data: bytes) -> SourceFormat:
    """Return the format that the file's first bytes tell. Its name and media type do not count.

    Raises:
        ImageError: `empty`, `not_an_image` or `unsupported_format`.
    """
    if not data:
        raise ImageError(ImageErrorCode.EMPTY, "The file is empty. Check its URL.")
    for signature, source in _SIGNATURES:
        if data.startswith(signature):
            return source
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return SourceFormat.WEBP
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return SourceFormat.BMP
    if data[4:8] == b"ftyp" and data[8:12]:
        return _identify_isobmff(data)
    raise _refusal(data)


def _identify_isobmff(data: bytes) -> SourceFormat:
    size = min(int.from_bytes(data[:4], "big"), _MAX_SEARCHED_BYTES)
    brands = {data[at : at + 4] for at in (8, *range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return SourceFormat.AVIF
    if brands & _HEIF_BRANDS:
        raise unsupported("a HEIC picture")  # HEVC is patented; the wheels of libvips and Pillow have no decoder
    if b"crx " in brands:
        raise unsupported("a camera raw picture (CR3)")
    raise unsupported("a video")


def _refusal(data: bytes) -> ImageError:
    for signature, name in _UNSUPPORTED:
        if data.startswith(signature):
            return unsupported(name)
    text = data[:_MAX_SEARCHED_BYTES]
    if _HTML.search(text):
        message = "The source sent a web page instead of an image. Check that its URL is right and needs no login."
        return ImageError(ImageErrorCode.NOT_AN_IMAGE, message)
    if _SVG.search(text):
        return unsupported("an SVG drawing")
    return ImageError(ImageErrorCode.NOT_AN_IMAGE, "The file is not an image. Check its URL.")
