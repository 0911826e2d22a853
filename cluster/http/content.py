"""Bounded decoding of `Content-Encoding`.

We ask for none, but some servers compress all the same. An HTTP client would decode too, but without our bound: 64 KiB
of two layers of gzip are 64 GiB of memory before anybody can count.
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
        truncated: Whether it may be whole at another try.
    """

    def __init__(self, message: str, truncated: bool = False) -> None:  # noqa: FBT001, FBT002 - errors take positions
        super().__init__(message, truncated)
        self.message = message
        self.truncated = truncated

    def __str__(self) -> str:
        return self.message


class ContentDecoder:
    """Decodes a body part by part; names other than gzip and deflate are passed over, as many servers misuse them.

    Args:
        content_encoding: The header's value; empty when there was none.

    Raises:
        ContentError: The body is compressed more than once.
    """

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        compressed = [name for name in names if name in _COMPRESSED]
        if len(compressed) > 1:
            message = "The source sent the image compressed more than once."
            raise ContentError(message)
        self._name = compressed[0] if compressed else None
        self._zlib: zlib._Decompress | None = None

    def decode(self, part: bytes, max_bytes: int) -> bytes:
        """The decoded part, cut at `max_bytes`: a caller that gets so many knows that it is too much.

        Raises:
            ContentError: The part is not compressed as the header says.
        """
        if self._name is None or not part:
            return part
        if self._zlib is None:
            self._zlib = zlib.decompressobj(self._window(part[0]))
        if self._zlib.eof:  # zlib would hoard what follows
            return b""
        try:
            return self._zlib.decompress(part, max_bytes)
        except zlib.error as error:
            message = "The source sent compressed data that cannot be read."
            raise ContentError(message) from error

    def _window(self, first_byte: int) -> int:
        if self._name != "deflate":
            return _GZIP_WINDOW
        # Half of the servers that say "deflate" leave the zlib header out.
        return zlib.MAX_WBITS if first_byte & 0x0F == _DEFLATE_METHOD else -zlib.MAX_WBITS

    def finish(self) -> None:
        """Check that the compressed data came to its end.

        Raises:
            ContentError: It did not.
        """
        if self._zlib is not None and not self._zlib.eof:
            message = "The source sent compressed data that ends too early."
            raise ContentError(message, True)  # noqa: FBT003 - errors take positions
