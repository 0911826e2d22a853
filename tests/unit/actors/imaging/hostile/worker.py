"""The process that opens hostile files, one after the other.

It reads requests from stdin: the lengths of options and data, then both. It answers each with a line of JSON on stdout.
Usage: `python -m tests.unit.actors.imaging.hostile.worker`.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from actors.imaging.allocator import keep_freed_memory
from cluster.errors import ImageError
from tests.unit.actors.imaging.hostile.case import READABLE
from tests.unit.actors.imaging.pictures import photo, run, save

if TYPE_CHECKING:
    from typing import BinaryIO

REQUEST = struct.Struct(">II")
KIBIBYTES_IN_MEBIBYTE = 1024
RESET_PEAK = "5"  # proc(5), clear_refs


def peak_mebibytes() -> float:
    """Return the peak of the memory since its last reset."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / KIBIBYTES_IN_MEBIBYTE


def attempt(data: bytes, options: dict[str, object]) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    started = time.process_time()
    try:
        run(data, **options)
        code, message = READABLE, ""
    except ImageError as error:
        code, message = error.code.value, error.message
    except Exception as error:  # noqa: BLE001 - any exception that escapes is a finding
        code, message = f"escaped {type(error).__name__}", str(error)
    spent = time.process_time() - started
    return {"code": code, "message": message, "cpu_seconds": spent, "peak_mebibytes": peak_mebibytes()}


def serve(requests: BinaryIO) -> None:
    keep_freed_memory()  # the workers of the service do the same
    run(save(photo(), "JPEG"))  # load the libraries before the first measurement
    while head := requests.read(REQUEST.size):
        options_bytes, data_bytes = REQUEST.unpack(head)
        options = json.loads(requests.read(options_bytes))
        answer = attempt(requests.read(data_bytes), options)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer)
