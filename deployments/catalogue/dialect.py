"""Detection of the encoding and the delimiter of a file from its beginning. A file that is not text is refused."""

from __future__ import annotations

import codecs
import re
from typing import IO, NamedTuple

from cluster.errors import RefusedError

_HEAD_BYTES = 64 * 1024
DELIMITERS = ",;"  # the first one wins if both are equally frequent

_SAVE = "Save it as “CSV UTF-8” and upload that"
_UPLOAD_A_CSV = "Upload the catalogue as “CSV UTF-8”"
_UNPACK = "Unpack it and upload the CSV that is in it"
_NOT_TEXT = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind (.xls)", _SAVE),
    (b"\xff\xfe", "text in UTF-16", _SAVE),
    (b"\xfe\xff", "text in UTF-16", _SAVE),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"%PDF-", "a PDF", _UPLOAD_A_CSV),
    (b"\x89PNG", "an image", _UPLOAD_A_CSV),
    (b"\xff\xd8\xff", "an image", _UPLOAD_A_CSV),
    (b"GIF8", "an image", _UPLOAD_A_CSV),
    (b"RIFF", "an image or a recording", _UPLOAD_A_CSV),
)
_MARKUP = re.compile(rb"\s*(?:<!doctype|<html|<\?xml)", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:"|$)')


class Dialect(NamedTuple):
    """The way in which a file is written."""

    encoding: str
    byte_order_mark: bool
    delimiter: str

    @property
    def start(self) -> int:
        """The position of the first byte of text."""
        return len(codecs.BOM_UTF8) if self.byte_order_mark else 0


def detect_dialect(file: IO[bytes]) -> Dialect:
    """Return the dialect of a file, judged by its first 64 KiB.

    Raises:
        RefusedError: 415, the file is of a known type that is not a CSV.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    text = head.removeprefix(codecs.BOM_UTF8)
    _refuse_what_is_not_rows(text)
    return Dialect(encoding="utf-8", byte_order_mark=head != text, delimiter=_detect_delimiter(text))


def not_a_csv(detail: str) -> RefusedError:
    """Return the refusal of a file that is not a CSV at all."""
    return RefusedError(415, "not_a_csv", detail)


def _refuse_what_is_not_rows(head: bytes) -> None:
    if head.startswith(b"PK\x03\x04"):
        raise not_a_csv(_zip_detail(head))
    for signature, kind, remedy in _NOT_TEXT:
        if head.startswith(signature):
            raise not_a_csv(f"This is {kind}. {remedy}.")
    if _MARKUP.match(head):
        raise not_a_csv(f"This is a web page or XML. {_UPLOAD_A_CSV}.")


def _zip_detail(head: bytes) -> str:
    if b"opendocument" in head:
        return f"This is a LibreOffice document. {_SAVE}."
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return f"This is an Excel workbook. {_SAVE}."
    return f"This is a ZIP archive. {_UNPACK}."


def _detect_delimiter(head: bytes) -> str:
    lines = (line.decode(errors="replace") for line in head.splitlines())
    header = next((line for line in lines if line.strip(DELIMITERS + " \t")), "")
    unquoted = _QUOTED.sub("", header)
    return max(DELIMITERS, key=unquoted.count)
