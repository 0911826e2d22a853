"""The source of the images, a server in a process of its own. It is too cheap to decide a race.

    with Source(paths) as source:
        urls = source.urls(600)

Every URL answers with other bytes, by a comment of a few bytes behind the JPEG's first marker. So no fetch repeats
another one. The rest of a file goes from the page cache to the socket without a copy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_LOOPBACK = "127.0.0.1"
_BACKLOG = 256
_START_OF_IMAGE = b"\xff\xd8"
_COMMENT = b"\xff\xfe"
_REQUEST_BYTES = 4096
_END_OF_HEADERS = b"\r\n\r\n"


class Delay(NamedTuple):
    """The wait of the server before it answers."""

    usual_seconds: float = 0
    slow_seconds: float = 0
    slow_share: float = 0  # of the answers

    def pause(self) -> None:
        """Wait as long as one answer does. The usual time varies by half of it."""
        if random.random() < self.slow_share:  # noqa: S311 - of no secret
            time.sleep(self.slow_seconds)
        elif self.usual_seconds:
            time.sleep(self.usual_seconds * random.uniform(0.5, 1.5))  # noqa: S311 - of no secret


AT_ONCE = Delay()


class Source:
    """The server, which runs for a block.

    Args:
        files: JPEG files. A URL names one by its place, with a number that makes the answer unlike any other.
        delay: The wait before each answer.
    """

    def __init__(self, files: Sequence[Path], delay: Delay = AT_ONCE) -> None:
        self._files = [str(path) for path in files]
        self._delay = delay
        self._numbers = itertools.count(time.time_ns())  # other ones than any source before it

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.source", *map(str, self._delay), *self._files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)  # closes its input, which ends it, and waits

    @property
    def pid(self) -> int:
        """The pid of the server."""
        return self._process.pid

    def urls(self, count: int) -> list[str]:
        """Return as many URLs that were never asked for, one file after another from the first."""
        files = len(self._files)
        return [f"http://{_LOOPBACK}:{self._port}/{place % files}/{next(self._numbers)}.jpg" for place in range(count)]


def serve(files: Sequence[Path], delay: Delay) -> None:
    """Serve until the standard input ends, and print the port first."""
    listener = socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG)
    opened = [(os.open(path, os.O_RDONLY), path.stat().st_size) for path in files]
    threading.Thread(target=_accept, args=(listener, opened, delay), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


def _accept(listener: socket.socket, files: list[tuple[int, int]], delay: Delay) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_converse, args=(connection, files, delay), daemon=True).start()


def _converse(connection: socket.socket, files: list[tuple[int, int]], delay: Delay) -> None:
    with connection, contextlib.suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while chunk := connection.recv(_REQUEST_BYTES):
            received += chunk
            if received.endswith(_END_OF_HEADERS):
                delay.pause()
                _answer(connection, received, files)
                received = b""


def _answer(connection: socket.socket, request: bytes, files: list[tuple[int, int]]) -> None:
    _, place, name = request.split(b" ", 2)[1].split(b"/")
    file, size = files[int(place)]
    comment = _COMMENT + (len(name) + 2).to_bytes(2, "big") + name
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n" % (size + len(comment))
        + _START_OF_IMAGE
        + comment
    )
    connection.sendall(head, socket.MSG_MORE)
    sent = len(_START_OF_IMAGE)
    while sent < size:
        sent += os.sendfile(connection.fileno(), file, sent, size - sent)


if __name__ == "__main__":
    _DELAYS = len(Delay._fields)
    serve([Path(name) for name in sys.argv[1 + _DELAYS :]], Delay(*map(float, sys.argv[1 : 1 + _DELAYS])))
