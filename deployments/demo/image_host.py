"""The demo's image host: good pictures, and the three kinds of trouble that every real catalogue has."""

from __future__ import annotations

import mimetypes
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from cluster.codes import ImageErrorCode
from cluster.http.url import path_of
from deployments.demo.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    from pathlib import Path

DRIP_SECONDS = 2.0
DRIPS = 20
KEPT_FRACTION_OF_BROKEN = 0.4


class Behaviour(StrEnum):
    """The ways in which the host serves a picture. The value is the first part of the URL's path."""

    PLAIN = "pictures"
    SLOW = "slow"  # its bytes drip over two seconds
    BROKEN = "broken"  # the file ends early, as after an upload that was cut
    MISSING = "missing"  # 404

    @property
    def expected_code(self) -> ImageErrorCode | None:
        """The error code that such a picture must get, or None when it must succeed."""
        return _EXPECTED_CODES.get(self)


_EXPECTED_CODES = {Behaviour.BROKEN: ImageErrorCode.CORRUPT_IMAGE, Behaviour.MISSING: ImageErrorCode.NOT_FOUND}


@dataclass(frozen=True)
class SourceImage:
    """One picture of a product."""

    filename: str
    behaviour: Behaviour = Behaviour.PLAIN


class ImageHost(LoopbackServer):
    """Serves a folder of pictures.

    Args:
        folder: The folder of the pictures. Nothing outside of it and no subfolder is served.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures = {path.name: path for path in folder.iterdir() if path.is_file()}
        self._closing = threading.Event()
        super().__init__(_handler(self._pictures, self._closing))

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        super().__exit__(*exception)

    def url_of(self, source: SourceImage) -> str:
        """Return the URL of a picture."""
        return f"{self.url}/{source.behaviour}/{quote(source.filename)}"

    def path_of(self, source: SourceImage) -> Path:
        """Return the path of a picture's file."""
        return self._pictures[source.filename]


def broken(content: bytes) -> bytes:
    """Return a picture without its end."""
    return content[: int(len(content) * KEPT_FRACTION_OF_BROKEN)]


def _handler(pictures: dict[str, Path], closing: threading.Event) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def get(self) -> None:
            behaviour, _, name = path_of(self.path).lstrip("/").partition("/")
            path = pictures.get(name)
            if path is None or behaviour not in set(Behaviour) - {Behaviour.MISSING}:
                self.answer(404, b"There is no such picture.\n")
                return
            content_type = mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
            content = path.read_bytes()
            if behaviour == Behaviour.SLOW:
                self._drip(content, content_type)
            else:
                self.answer(200, broken(content) if behaviour == Behaviour.BROKEN else content, content_type)

        def _drip(self, content: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            size_bytes = -(-len(content) // DRIPS)
            for start in range(0, len(content), size_bytes):
                self.wfile.write(content[start : start + size_bytes])
                if closing.wait(DRIP_SECONDS / DRIPS):
                    return

    return Handler
