"""A decoder in the hands of an attacker: it answers in place of its process, or looks for a way out of it."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SIGUSR1, TGKILL = 10, 234
THREADS = 4_000  # the numbers after this process's own that are tried
OUTPUT = {"size_bytes": 4, "width": 1, "height": 1, "format": "jpeg", "quality": 50, "decision": "compressed"}
MEBIBYTE = 1024 * 1024


def _answer(body_bytes: int, **head: Any) -> None:  # noqa: ANN401 - a head is JSON
    """Write an answer, as the process would, and never come back."""
    (pipe,) = (each for each in range(3, 64) if _is_pipe(each))
    encoded = json.dumps({"cpu_seconds": 0, **head}).encode()
    with os.fdopen(pipe, "wb") as answers:
        answers.write(struct.pack("!II", len(encoded), body_bytes) + encoded)
        while body_bytes > 0:
            body_bytes -= answers.write(bytes(min(body_bytes, MEBIBYTE)))
        answers.flush()
        threading.Event().wait()


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _escape() -> None:
    """Let another thread of the process do what this one may not, by a signal handler. Tell what it could do."""
    attempts: dict[str, Callable[[], object]] = {
        "the secrets": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "a socket": socket.socket,
        "a file": lambda: Path("/etc/passwd").read_bytes(),
    }
    reached: list[str] = []
    done = threading.Event()

    def handler(_: int) -> None:
        for what, attempt in attempts.items():
            try:
                attempt()
            except OSError:
                continue
            reached.append(what)
        done.set()

    library, own = ctypes.CDLL(None), os.getpid()
    called = ctypes.CFUNCTYPE(None, ctypes.c_int)(handler)
    library.signal(SIGUSR1, called)
    any(library.syscall(TGKILL, own, each, SIGUSR1) == 0 for each in range(own + 1, own + THREADS))
    done.wait(2)
    _answer(0, failure={"code": "not_an_image", "message": f"reached: {reached}"})


HARM = {
    b"wide": lambda: _answer(4, outputs=[{**OUTPUT, "width": 2**63}]),
    b"endless": lambda: _answer(4, outputs=[OUTPUT], cpu_seconds=float("inf")),
    b"empty": lambda: _answer(0, outputs=[{**OUTPUT, "size_bytes": 0}]),
    b"huge": lambda: _answer(1024 * MEBIBYTE, outputs=[{**OUTPUT, "size_bytes": 1024 * MEBIBYTE}]),
    b"other": lambda: _answer(8, outputs=[OUTPUT]),
    b"more": lambda: _answer(8, outputs=[OUTPUT, OUTPUT]),
    b"escape": _escape,
}
