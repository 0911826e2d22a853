"""The head of an answer as browsers read it: the status line and the headers, before the parser of aiohttp sees them.

Some old servers write heads that llhttp refuses, and that every browser takes. Chromium is the model here: see
`HeadersIterator` in net/http/http_util.cc and `ParseResponseHeaders` in net/http/http_stream_parser.cc.

A lenient reader can be a danger where two programs share a connection, because they may divide its bytes in different
ways (request smuggling). Darkroom is the client, and nobody else reads this connection. The pool closes it after an
odd head, and reads nothing behind that answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
_END = re.compile(rb"\n\r?\n")
_BEGINNING = b"HTTP/"
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_INTERIM = re.compile(rb"HTTP/\d\.\d 1(?!01)\d\d\b", re.IGNORECASE)  # 101 is the end of HTTP
_SPACE_BEFORE_COLON = re.compile(rb"[^:\s]*\s+:")
_BLANKS = (b" ", b"\t")
_LENGTH = b"content-length"
_CODING = b"transfer-encoding"


class InvalidHeadError(ValueError):
    """The bytes are no head of an answer that a browser would take."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one answer.

    Attributes:
        data: The bytes for the parser.
        odd: Whether it differs from the bytes that came.
    """

    data: bytes
    odd: bool


class HeadReader:
    """Collects the bytes of a head until it is complete.

    It passes over interim answers, because no request waits for one.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Add bytes as they come in."""
        self._bytes += data

    def take(self) -> Head | None:
        """Return the head. None means that it is not complete.

        Raises:
            InvalidHeadError: The bytes are no head, or a head of more than `MAX_HEAD_BYTES`.
        """
        while (raw := self._next()) is not None:
            if not _INTERIM.match(raw):
                data = _as_browsers_read(raw)
                return Head(data, odd=data != raw)
        return None

    def _next(self) -> bytes | None:
        self._drop_empty_lines()
        found = _END.search(self._bytes, self._searched)
        size_bytes = found.end() if found else len(self._bytes)
        if not _begins_well(self._bytes) or size_bytes > MAX_HEAD_BYTES:
            raise InvalidHeadError
        if not found:
            self._searched = max(0, size_bytes - 2)
            return None
        raw = bytes(self._bytes[:size_bytes])
        del self._bytes[:size_bytes]
        self._searched = 0
        return raw

    def rest(self) -> bytes:
        """Return the bytes behind the last head, and forget them."""
        rest = bytes(self._bytes)
        self._bytes.clear()
        self._searched = 0
        return rest

    def _drop_empty_lines(self) -> None:
        if self._bytes.startswith((b"\r", b"\n")):
            del self._bytes[: len(self._bytes) - len(self._bytes.lstrip(b"\r\n"))]
            self._searched = 0


def _begins_well(data: bytearray) -> bool:
    beginning = bytes(data[: len(_BEGINNING)]).upper()
    return _BEGINNING.startswith(beginning)


def _as_browsers_read(raw: bytes) -> bytes:
    """Return the same bytes, unless a browser would read other headers from them than llhttp."""
    status_line, *lines = raw.rstrip(b"\r\n").split(b"\n")
    fields = [_field(line) for line in _unfolded(lines)]
    headers = _framed([field for field in fields if field is not None])
    if headers == fields and len(fields) == len(lines) and not any(map(_SPACE_BEFORE_COLON.match, lines)):
        return raw
    text = b"".join(b"%s: %s\r\n" % header for header in headers)
    return status_line.removesuffix(b"\r") + b"\r\n" + text + b"\r\n"


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Join a line that begins with white space to the one before it."""
    if not any(line[:1] in _BLANKS for line in lines):
        return lines
    joined: list[bytes] = []
    for line in lines:
        if joined and line[:1] in _BLANKS:
            joined[-1] = joined[-1].rstrip() + b" " + line.strip()
        else:
            joined.append(line)
    return joined


def _field(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the name and the value. None means that a browser passes over the line."""
    name, colon, value = line.partition(b":")
    name = name.rstrip()
    return (name, value.strip()) if colon and _NAME.fullmatch(name) else None


def _framed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with at most one way to find the end of the body.

    Raises:
        InvalidHeadError: There are two lengths.
    """
    lengths = _values(headers, _LENGTH)
    is_chunked = b"chunked" in _values(headers, _CODING)
    if not is_chunked and len(set(lengths)) > 1:
        raise InvalidHeadError
    left = [] if is_chunked else lengths[:1]
    framed: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.lower() == _LENGTH:
            framed += [(name, left.pop())] if left else []
        elif name.lower() != _CODING or is_chunked or not lengths:  # no other coding than chunked has a meaning
            framed.append((name, value))
    return framed


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    """Return all members of a list header, in lower case."""
    members = (each.strip().lower() for name, value in headers if name.lower() == wanted for each in value.split(b","))
    return [member for member in members if member]
