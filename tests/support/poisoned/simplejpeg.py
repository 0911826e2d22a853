"""The JPEG decoder that workers use, with four faults that a picture's comment sets off.

With this folder on PYTHONPATH it is imported in place of the real one, which does all the rest.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

STEP_BYTES = 64 * 1024 * 1024
STEPS_PER_SECOND = 32
HANG_SECONDS = 600


def _real() -> ModuleType:
    """Import the next one on the path."""
    here = Path(__file__).parent
    sys.path = [folder for folder in sys.path if Path(folder).resolve() != here]
    this = sys.modules.pop(__name__)
    real = importlib.import_module(__name__)
    sys.modules[__name__] = this
    return real


_decoder = _real()


def decode_jpeg(data: bytes, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the real one
    """Decode, unless it is poison."""
    if b"poison: defect" in data:
        raise KeyError("a defect of our own")
    if b"poison: segfault" in data:
        ctypes.string_at(0)
    if b"poison: memory" in data:
        eaten = []
        while True:  # until this process is ended
            eaten.append(b"\1" * STEP_BYTES)
            threading.Event().wait(1 / STEPS_PER_SECOND)
    if b"poison: hang" in data:
        threading.Event().wait(HANG_SECONDS)
    if b"poison: lock" in data:
        ctypes.PyDLL(None).sleep(HANG_SECONDS)  # with the interpreter's lock: the whole process hangs
    return _decoder.decode_jpeg(data, *arguments, **options)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the real one has
    return getattr(_decoder, name)
