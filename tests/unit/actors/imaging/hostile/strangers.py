"""Files that are no pictures, and polyglots: pictures that are also something else.

A polyglot carries `STOWAWAY` in its other part. No byte of that may reach the output.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

from tests.unit.actors.imaging.hostile import avifs, bmps, gifs, jpegs, pngs, tiffs, webps
from tests.unit.actors.imaging.hostile.case import CORRUPT, EMPTY, READABLE, STRANGE, UNSUPPORTED, Hostile, ends

STOWAWAY = b"alert('stowaway')"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">%s</svg>'
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
HTML = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>%s</body></html>"
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" + STOWAWAY + b"\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def zipped(name: str = "payload.js") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), STOWAWAY)
    return stream.getvalue()


def script_in_gif() -> bytes:
    """Make valid JavaScript, in which the picture is a comment between an assignment and a call."""
    source = gifs.animation(1, 0x2A2F, 1, gifs.DOT, (1, 1))
    assert source.startswith(b"GIF89a/*")
    return source + b"*/=1;" + STOWAWAY


def script_in_jpeg() -> bytes:
    """Make valid JavaScript, in which the length of the first segment starts a comment."""
    comment = b"\xff\xe0/*" + b"JFIF\0\1\1\0\0\1\0\1\0\0" + b"*/=1;" + STOWAWAY + b"/*"
    return b"\xff\xd8" + comment.ljust(2 + 0x2F2A, b" ") + jpegs.plain()[2:]


def exif_that_calls(payload: bytes) -> bytes:
    return jpegs.with_segments(jpegs.segment(jpegs.COM, b"<?php " + payload + b"; ?>"))


POLYGLOTS: dict[str, Hostile] = {
    "jpeg and ZIP": ends(lambda: jpegs.plain() + zipped(), READABLE),
    "jpeg and PHP": ends(lambda: exif_that_calls(STOWAWAY), READABLE),
    "jpeg and JavaScript": ends(script_in_jpeg, READABLE),
    "jpeg and PDF in its comment": ends(lambda: jpegs.with_segments(jpegs.segment(jpegs.COM, PDF)), READABLE),
    "jpeg and HTML in its XMP": ends(lambda: jpegs.with_segments(jpegs.segment(jpegs.APP1, HTML % STOWAWAY)), READABLE),
    "jpeg and jpeg": ends(lambda: jpegs.plain() + exif_that_calls(STOWAWAY), READABLE),
    "png and HTML": ends(lambda: pngs.small(pngs.chunk(b"tEXt", b"Comment\0" + HTML % STOWAWAY)), READABLE),
    "png and ZIP": ends(lambda: pngs.photographic() + zipped(), READABLE),
    "png and a private chunk": ends(lambda: pngs.small(pngs.chunk(b"prVt", STOWAWAY)), READABLE),
    "gif and JavaScript": ends(script_in_gif, READABLE),
    "gif and JAR": ends(lambda: gifs.black(16, 16) + zipped("META-INF/MANIFEST.MF"), READABLE),
    "gif and HTML in its comment": ends(lambda: gifs.small(b"\x21\xfe" + gifs.sub_blocks(HTML % STOWAWAY)), READABLE),
    "webp and a private chunk": ends(lambda: webps.with_chunk(b"prVt", 0, STOWAWAY), READABLE),
    "webp and ZIP": ends(lambda: webps.plain() + zipped(), READABLE),
    "avif and a video": ends(lambda: avifs.still() + avifs.box(b"moov", STOWAWAY), READABLE),
    "avif and ZIP": ends(lambda: avifs.still() + zipped(), READABLE, CORRUPT),
    "tiff and ZIP": ends(lambda: tiffs.page() + zipped(), READABLE),
    "bmp and ZIP": ends(lambda: bmps.bmp(16, 16, body=bytes(256)) + zipped(), READABLE),
}

STRANGERS: dict[str, Hostile] = {
    "nothing": ends(lambda: b"", EMPTY),
    "one byte": ends(lambda: b"\xff", STRANGE),
    "one zero": ends(lambda: b"\0", STRANGE),
    "10 MB of zeros": ends(lambda: bytes(10_000_000), STRANGE),
    "text": ends(lambda: b"no image here\n", STRANGE),
    "10 MB of text": ends(lambda: b"no image here\n" * 700_000, STRANGE),
    "JSON": ends(lambda: b'{"error": "not found"}', STRANGE),
    "an HTML error page": ends(lambda: HTML % b"<svg></svg>", STRANGE),
    "an HTML error page in UTF-16": ends(lambda: (HTML % b"").decode().encode("utf-16"), STRANGE),
    "10 MB of angle brackets": ends(lambda: b"<" * 10_000_000, STRANGE),
    "a PDF with a JPEG's name": ends(lambda: PDF, UNSUPPORTED),
    "a PDF that contains a JPEG": ends(lambda: PDF + jpegs.plain(), UNSUPPORTED),
    "a ZIP with a JPEG's name": ends(zipped, UNSUPPORTED),
    "a ZIP with a PNG inside": ends(lambda: zipped() + pngs.photographic(), UNSUPPORTED),
    "HTML and then a PNG": ends(lambda: HTML % b"" + pngs.photographic(), STRANGE),
    "blanks and then a JPEG": ends(lambda: b"\r\n" + jpegs.plain(), STRANGE),
    "SVG": ends(lambda: SVG % b"<rect width='9' height='9'/>", UNSUPPORTED),
    "SVG with a file from the disk": ends(lambda: SVG % b'<image href="file:///etc/passwd"/>', UNSUPPORTED),
    "SVG with a file from the network": ends(lambda: SVG % b'<image href="http://127.0.0.1:9/x.png"/>', UNSUPPORTED),
    "SVG with entities from the disk": ends(
        lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + SVG % b"&x;",
        UNSUPPORTED,
    ),
    "SVG of a billion laughs": ends(
        lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "ha">' + LAUGHS + b"]>" + SVG % b"&l9;", UNSUPPORTED
    ),
    "SVG of 200,000 groups in groups": ends(lambda: SVG % (b"<g>" * 200_000), UNSUPPORTED),
    "SVG behind gzip": ends(lambda: gzip.compress(SVG % b"", mtime=0), UNSUPPORTED),
    "gzip of 200 MB": ends(lambda: gzip.compress(bytes(200_000_000), 1, mtime=0), UNSUPPORTED),
    "XML that is no SVG": ends(lambda: b'<?xml version="1.0"?><rss></rss>', STRANGE),
    "MP4": ends(lambda: avifs.box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + bytes(99), UNSUPPORTED),
    "QuickTime": ends(lambda: avifs.box(b"ftyp", b"qt  \0\0\2\0qt  ") + bytes(99), UNSUPPORTED),
    "HEIC": ends(lambda: avifs.box(b"ftyp", b"heic\0\0\0\0mif1heic") + bytes(99), UNSUPPORTED),
    "HEIC that claims to be AVIF too": ends(lambda: avifs.box(b"ftyp", b"heic\0\0\0\0avif") + bytes(99), CORRUPT),
    "a type box of 4 billion bytes": ends(lambda: avifs.box(b"ftyp", b"heic\0\0\0\0", avifs.HUGE), UNSUPPORTED),
    "an icon": ends(lambda: b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(1_128), UNSUPPORTED),
    "EPS": ends(lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n", UNSUPPORTED),
    "EPS for DOS": ends(lambda: b"\xc5\xd0\xd3\xc6" + bytes(99), UNSUPPORTED),
    "a Photoshop document": ends(
        lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3), UNSUPPORTED
    ),
    "JPEG XL": ends(lambda: b"\xff\x0a" + bytes(99), UNSUPPORTED),
    "JPEG XL in boxes": ends(lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), UNSUPPORTED),
    "JPEG 2000": ends(lambda: b"\xff\x4f\xff\x51" + bytes(99), UNSUPPORTED),
    "OpenEXR": ends(lambda: b"\x76\x2f\x31\x01" + bytes(99), UNSUPPORTED),
    "Radiance": ends(lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n", UNSUPPORTED),
    "a libvips picture": ends(lambda: b"\x08\xf2\xa6\xb6" + b"\xff" * 99, UNSUPPORTED),
    "WebM": ends(lambda: b"\x1aE\xdf\xa3" + bytes(99), UNSUPPORTED),
    "a portable pixmap": ends(lambda: b"P6 30000 30000 255\n", STRANGE),
    "MATLAB": ends(lambda: b"MATLAB 5.0 MAT-file".ljust(128) + bytes(99), STRANGE),
    "FITS": ends(lambda: b"SIMPLE  =                    T".ljust(2_880), STRANGE),
    "a spreadsheet of numbers": ends(lambda: b"1,2,3\n4,5,6\n", STRANGE),
    "WAV": ends(lambda: b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(99), STRANGE),
    "a program": ends(lambda: b"\x7fELF\2\1\1" + bytes(99), STRANGE),
    "a shell script": ends(lambda: b"#!/bin/sh\nexit 1\n", STRANGE),
    "a coder of ImageMagick": ends(lambda: b"push graphic-context\nfill 'url(|id)'\n", STRANGE),
}

MAGIC: dict[str, Hostile] = {
    f"only the signature of {name}": ends(lambda start=start: start, CORRUPT, STRANGE)  # type: ignore[misc] # a default of its own type
    for name, start in {
        "jpeg": b"\xff\xd8\xff",
        "png": pngs.SIGNATURE,
        "gif": b"GIF89a",
        "old gif": b"GIF87a",
        "webp": b"RIFF\0\0\0\0WEBP",
        "avif": avifs.file_type(),
        "tiff": b"II*\0",
        "big-endian tiff": b"MM\0*",
        "big tiff": b"II+\0\x08\0\0\0",
        "bmp": b"BM" + bytes(12) + b"\x28\0\0\0",
    }.items()
}
