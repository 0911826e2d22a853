"""The parser of a multipart form, which finds the file however the client marks it."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartParser

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

FILE_FIELD = "file"
"""The field of the catalogue."""


class UploadFormParser(MultiPartParser):
    """A parser that takes a part for a file in these cases.

    - It has a `filename`, as browsers write it.
    - It has only a `filename*` (RFC 5987), as some HTTP libraries write a name that is not ASCII.
    - It is the field `file`, even without a name: `curl -F 'file=<shop.csv'`, or a text in `FormData`.
    """

    def on_headers_finished(self) -> None:
        """Begin the body of a part."""
        part = self._current_part
        header = part.content_disposition or b""
        _, options = parse_options_header(header)
        extended_name = None if b"filename" in options else _extended_filename(header)
        if b"filename" not in options and (extended_name or options.get(b"name") == FILE_FIELD.encode()):
            part.content_disposition = header + b'; filename=""'
        super().on_headers_finished()
        file: UploadFile | None = part.file
        if file is not None:
            file.filename = extended_name or file.filename or None


def _extended_filename(header: bytes) -> str | None:
    message = Message()
    message["Content-Disposition"] = header.decode("latin-1")
    return message.get_filename()
