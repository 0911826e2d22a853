"""The JPEG decoder that workers use, with faults that a picture's comment sets off.

With this folder on PYTHONPATH it is imported in place of the real one, which does all the rest.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import taken_over  # type: ignore[import-not-found]  # beside this file, which is on PYTHONPATH

if TYPE_CHECKING:
    from types import ModuleType

STEP_BYTES = 64 * 1024 * 1024
STEPS_PER_SECOND = 32
HANG_SECONDS = 600
LATER_SECONDS = 0.3
LEAKED_BYTES = 150 * 1024 * 1024
leaked: list[bytes] = []


def _real() -> ModuleType:
    """Import the next one on the path."""
    here = Path(__file__).parent
    sys.path = [folder for folder in sys.path if Path(folder).resolve() != here]
    this = sys.modules.pop(__name__)
    real = importlib.import_module(__name__)
    sys.modules[__name__] = this
    return real


_decoder = _real()


def _fail() -> None:
    raise KeyError("a defect of our own")


def _eat() -> None:
    eaten = []
    while True:  # until this process is ended
        eaten.append(b"\1" * STEP_BYTES)
        threading.Event().wait(1 / STEPS_PER_SECOND)


def _spin() -> None:
    while True:
        pass


HARM = {
    b"spin": _spin,
    b"defect": _fail,
    b"segfault": lambda: ctypes.string_at(0),
    b"memory": _eat,
    b"hang": lambda: threading.Event().wait(HANG_SECONDS),
    b"lock": lambda: ctypes.PyDLL(None).sleep(HANG_SECONDS),  # with the interpreter's lock: the whole process hangs
    b"later": lambda: threading.Timer(LATER_SECONDS, ctypes.string_at, [0]).start(),
    b"leak": lambda: leaked.append(b"\1" * LEAKED_BYTES),
    **taken_over.HARM,
}


def decode_jpeg(data: bytes, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the real one
    """Decode, unless it is poison."""
    poison = re.search(rb"poison: (\w+)", data[:1_000])
    if poison is not None:
        HARM[poison[1]]()
    return _decoder.decode_jpeg(data, *arguments, **options)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the real one has
    return getattr(_decoder, name)
