"""Answers that no HTTP server would give, and hosts that give none."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin import Answer, Exchange

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
_SEGMENT_SECONDS = 0.05


def length(count: int) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % count


def raw(*segments: bytes, reset: bool = False) -> Answer:
    """Bytes as they are, one segment after another. The connection then ends by a reset or in peace."""

    def answer(exchange: Exchange) -> None:
        for segment in segments:
            exchange.wfile.write(segment)
            exchange.pause(_SEGMENT_SECONDS)
        exchange.close_connection = True
        if reset:
            exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            exchange.connection.close()

    return answer


def endless(head: bytes, part: bytes) -> Answer:
    """A part without end, as fast as it is read."""

    def answer(exchange: Exchange) -> None:
        exchange.wfile.write(head)
        while True:
            exchange.wfile.write(part * (65_536 // len(part)))

    return answer


def hang_up_on_second_request(then: Answer) -> Answer:
    """A server that closes an idle connection at the moment when a request comes in."""
    served: set[int] = set()

    def answer(exchange: Exchange) -> None:
        port = exchange.client_address[1]
        if port in served:
            exchange.close_connection = True
            return
        served.add(port)
        then(exchange)

    return answer


@contextlib.contextmanager
def packet_swallower(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a host that drops packets. Its queue of connections is full, and nobody accepts one."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - socket's own signature
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])
