"""A threaded HTTP server on a free port of 127.0.0.1, for as long as a context lasts."""

from __future__ import annotations

import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

STOP_POLL_SECONDS = 0.05


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections alive, logs nothing, and refuses every method that a subclass does not have."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Handle a GET, as the base class calls it."""
        self.get()

    def do_POST(self) -> None:
        """Handle a POST, as the base class calls it."""
        self.post()

    def get(self) -> None:
        """Answer a GET."""
        self.answer(HTTPStatus.METHOD_NOT_ALLOWED)

    def post(self) -> None:
        """Answer a POST."""
        self.close_connection = True  # its body was not read
        self.answer(HTTPStatus.METHOD_NOT_ALLOWED)

    def log_message(self, *_: object) -> None:
        """Log nothing: the demo prints lines of its own."""

    def answer(self, status: int, content: bytes = b"", content_type: str = "text/plain") -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class has them
        if not isinstance(sys.exception(), ConnectionError):  # a client may hang up
            super().handle_error(request, client_address)


class LoopbackServer:
    """Serves requests in threads of its own.

    Args:
        handler: Answers the requests.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(STOP_POLL_SECONDS,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The URL of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"
