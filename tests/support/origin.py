"""A real HTTP server on loopback that plays the sources of images and the receivers of webhooks.

with Origin() as origin:
    origin.route("/shoe.jpg", reply(jpeg))
    origin.route("/shaky.jpg", sequence(reply(status=503), reply(status=503), reply(jpeg)))
    ...  # fetch origin.url + "/shoe.jpg"
    assert origin.requests[0].path == "/shoe.jpg"
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    Answer = Callable[["Exchange"], None]

CHUNK = bytes(64 * 1024)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it came in."""

    method: str
    path: str
    """The path with the query."""
    headers: Mapping[str, str]
    """The headers, with their names in lower case."""
    body: bytes
    client_port: int
    """The port of the client, which is the same for all requests of one connection."""
    at: float
    """The moment of its arrival, of `time.monotonic()`."""


class Exchange(BaseHTTPRequestHandler):
    """One connection, which an answer writes to."""

    protocol_version = "HTTP/1.1"
    origin: Origin

    def setup(self) -> None:
        super().setup()
        self.origin.connections.add(self.connection)

    def finish(self) -> None:
        self.origin.connections.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        """Log the request and run the answer of its path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = ReceivedRequest(
            self.command, self.path, headers, body, int(self.client_address[1]), time.monotonic()
        )
        self.origin.requests.append(received)
        self.origin.answer_of(urlsplit(self.path).path)(self)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def pause(self, seconds: float) -> None:
        """Wait, unless the origin has ended all pauses. When it stops, break the connection off."""
        self.origin.pauses_ended.wait(seconds)
        if self.origin.stopping.is_set():
            raise ConnectionAbortedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the signature is http.server's
        """Say nothing on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128  # with five, as it is by default, a client that comes with more waits for a second
    origin: Origin

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the signature is socketserver's
        """Ignore a client that leaves. Any other error fails the test when the origin closes."""
        self.origin.note_error(sys.exception())


class Origin:
    """The server. Routes may be set at any time, and a path without one is a 404.

    Args:
        ssl_context: Set for https.
        host: The address that it listens at, if not loopback.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> None:
        self.requests: list[ReceivedRequest] = []
        self.pauses_ended = threading.Event()
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()
        self._routes: dict[str, Answer] = {}
        self._errors: list[BaseException] = []
        self._server = _Server((host, 0), type("OriginExchange", (Exchange,), {"origin": self}))
        self._server.origin = self
        if ssl_context is not None:
            self._server.socket = ssl_context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._host = host
        self._scheme = "http" if ssl_context is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="origin")

    @property
    def port(self) -> int:
        """The port of the server."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The URL of the server, without a slash at the end."""
        return f"{self._scheme}://{self._host}:{self.port}"

    def route(self, path: str, answer: Answer) -> str:
        """Answer a path from now on, and return its URL."""
        self._routes[path] = answer
        return self.url + path

    def requests_to(self, path: str) -> list[ReceivedRequest]:
        """Return the requests to one path, with any query."""
        return [request for request in self.requests if urlsplit(request.path).path == path]

    def end_pauses(self) -> None:
        """End all pauses of answers, now and from now on."""
        self.pauses_ended.set()

    def answer_of(self, path: str) -> Answer:
        """Return the answer of a path."""
        return self._routes.get(path, reply(b"nothing here", status=404, content_type="text/plain"))

    def note_error(self, error: BaseException | None) -> None:
        """Keep an error for the end, unless it says that the client left or that the origin stops."""
        gone = isinstance(error, ConnectionError | TimeoutError) or self.stopping.is_set()
        if error is not None and not gone:
            self._errors.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.end_pauses()
        self._server.shutdown()
        self._thread.join()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        if self._errors:
            raise self._errors[0]


def reply(
    body: bytes = b"",
    *,
    status: int = 200,
    content_type: str = "image/jpeg",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return a whole answer at once."""

    def answer(exchange: Exchange) -> None:
        exchange.start(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})})
        if exchange.command != "HEAD":
            exchange.wfile.write(body)

    return answer


def sequence(*answers: Answer) -> Answer:
    """Return one answer after another, then the last again. `sequence(*[reply(status=500)] * 2, reply(status=204))`."""
    lock = threading.Lock()
    remaining = list(answers)

    def answer(exchange: Exchange) -> None:
        with lock:
            current = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        current(exchange)

    return answer


def slow_headers(seconds: float, then: Answer) -> Answer:
    """Return nothing for a while, then another answer."""

    def answer(exchange: Exchange) -> None:
        exchange.pause(seconds)
        then(exchange)

    return answer


def drip(body: bytes, *, chunk_bytes: int, pause_seconds: float) -> Answer:
    """Return the headers at once, and the body a little at a time."""

    def answer(exchange: Exchange) -> None:
        exchange.start(200, {"Content-Type": "image/jpeg", "Content-Length": str(len(body))})
        for start in range(0, len(body), chunk_bytes):
            exchange.wfile.write(body[start : start + chunk_bytes])
            exchange.pause(pause_seconds)

    return answer


def truncated(body: bytes, *, missing_bytes: int = 1000) -> Answer:
    """Return a body that ends before `Content-Length` says."""

    def answer(exchange: Exchange) -> None:
        exchange.start(200, {"Content-Type": "image/jpeg", "Content-Length": str(len(body) + missing_bytes)})
        exchange.wfile.write(body)
        exchange.close_connection = True

    return answer


def hang_up() -> Answer:
    """Close the connection without an answer."""

    def answer(exchange: Exchange) -> None:
        exchange.close_connection = True

    return answer


def redirect(location: str, *, status: int = 302) -> Answer:
    """Return a redirect. A redirect to its own path is a loop."""
    return reply(status=status, headers={"Location": location})


def stream(total_bytes: int) -> Answer:
    """Return zeros, chunked, so that no `Content-Length` warns."""

    def answer(exchange: Exchange) -> None:
        exchange.start(200, {"Content-Type": "image/jpeg", "Transfer-Encoding": "chunked"})
        for _ in range(0, total_bytes, len(CHUNK)):
            exchange.wfile.write(b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))
        exchange.wfile.write(b"0\r\n\r\n")

    return answer


def gzip_bomb(total_bytes: int) -> Answer:
    """Return zeros, compressed about a thousand times."""
    headers = {"Content-Encoding": "gzip"}
    return reply(gzip.compress(bytes(total_bytes)), headers=headers)
