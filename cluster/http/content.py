"""Bounded decoding of `Content-Encoding`.

Darkroom asks for no compression, but some servers compress all the same. An HTTP client would decode too, but without
our limit. Two layers of gzip turn 64 KiB into 64 GiB of memory before anybody can count.
"""

from __future__ import annotations

import zlib

_COMPRESSED = ("gzip", "x-gzip", "deflate")
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_DEFLATE_METHOD = 8


class ContentError(Exception):
    """The body cannot be decoded.

    Args:
        message: One sentence for the owner of the catalogue.
        truncated: Whether another attempt may get the whole body.
    """

    def __init__(self, message: str, truncated: bool = False) -> None:  # noqa: FBT001, FBT002 - errors take positions
        super().__init__(message, truncated)
        self.message = message
        self.truncated = truncated

    def __str__(self) -> str:
        return self.message


class ContentDecoder:
    """A decoder that takes a body part by part.

    It passes over names other than gzip and deflate, because many servers misuse them.

    Args:
        content_encoding: The value of the header, or an empty text if there was none.

    Raises:
        ContentError: The body is compressed more than once.
    """

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        compressed = [name for name in names if name in _COMPRESSED]
        if len(compressed) > 1:
            message = "The source compressed the image more than once for its transfer. Switch that off at the source."
            raise ContentError(message)
        self._name = compressed[0] if compressed else None
        self._zlib: zlib._Decompress | None = None

    def decode(self, part: bytes, max_bytes: int) -> bytes:
        """Return the decoded part, cut at `max_bytes`. So many bytes mean that the body is too large.

        Raises:
            ContentError: The part is not compressed in the way that the header names.
        """
        if self._name is None or not part:
            return part
        if self._zlib is None:
            self._zlib = zlib.decompressobj(self._window(part[0]))
        if self._zlib.eof:  # zlib would keep all further bytes
            return b""
        try:
            return self._zlib.decompress(part, max_bytes)
        except zlib.error as error:
            message = "The source sent damaged compressed data. Switch compression off for images at the source."
            raise ContentError(message) from error

    def _window(self, first_byte: int) -> int:
        if self._name != "deflate":
            return _GZIP_WINDOW
        # Half of the servers that say "deflate" leave the zlib header out.
        return zlib.MAX_WBITS if first_byte & 0x0F == _DEFLATE_METHOD else -zlib.MAX_WBITS

    def finish(self) -> None:
        """Check that the compressed data is complete.

        Raises:
            ContentError: The data ends too early.
        """
        if self._zlib is not None and not self._zlib.eof:
            message = "The source sent compressed data that ends too early. Retry the image later."
            raise ContentError(message, True)  # noqa: FBT003 - errors take positions
