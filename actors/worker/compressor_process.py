"""The process that compresses the images of a worker: `python -m actors.worker.compressor_process <limits as JSON>`.

It decodes files that strangers wrote, so it gives up its rights before the first one. It ends with its worker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from actors.imaging.decode import is_decodable
from actors.imaging.formats import SourceFormat, identify
from actors.imaging.gate import Limits, read_header
from actors.worker import sandbox
from actors.worker.compressor_frames import (
    MAX_ANSWER_BYTES,
    MAX_DEFECT_CHARACTERS,
    MAX_SOURCE_BYTES,
    Answer,
    Failure,
    Greeting,
    Order,
    OutputHead,
    read_frame,
    write_frame,
)
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from typing import BinaryIO

    from actors.imaging.compressed import Compressed
    from cluster.options import ImageOptions

_TOO_LARGE = f"The outputs have more than {MAX_ANSWER_BYTES:,} bytes together. Ask for fewer or smaller ones."
_ANIMATED = (SourceFormat.GIF, SourceFormat.WEBP)


def main() -> None:
    """Compress one image after another, until the worker ends."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # they are meant for the worker
        signal.signal(each, signal.SIG_IGN)
    limits = Limits(**json.loads(sys.argv[1]))
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    keep_freed_memory()
    Pillow.init()  # it would look for its plugins at the first picture
    silence = os.open(os.devnull, os.O_WRONLY)  # libraries print, and no file may grow
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    write_frame(answers, Greeting(not_closed=sandbox.enter()))
    while True:
        try:
            head, source = read_frame(orders, max_body_bytes=MAX_SOURCE_BYTES)
        except EOFError:
            return
        order = Order.model_validate_json(head)
        if order.options is None:
            _decode(source, order.decode_cpu_seconds)
            return
        _compress(source, order.options, limits, answers)


def _decode(source: bytes, cpu_seconds: float) -> None:
    """Decode every pixel. When that takes more CPU time, the kernel ends this process by SIGPROF."""
    source_format = identify(source)
    page = read_header(source, source_format).page
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    is_decodable(source, source_format, all_frames=source_format in _ANIMATED, page=page)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _compress(source: bytes, options: ImageOptions, limits: Limits, answers: BinaryIO) -> None:
    # libvips works in threads of its own, which the clock of this thread leaves out.
    started = time.process_time()
    try:
        outputs = _checked(compress(source, options, limits))
    except ImageError as error:
        failure = Failure(code=error.code, message=error.message)
        write_frame(answers, Answer(cpu_seconds=time.process_time() - started, failure=failure))
        return
    except Exception:  # noqa: BLE001 - the worker logs it
        defect = traceback.format_exc()[-MAX_DEFECT_CHARACTERS:]
        write_frame(answers, Answer(cpu_seconds=time.process_time() - started, defect=defect))
        return
    heads = [
        OutputHead(
            size_bytes=len(each.data),
            width=each.width,
            height=each.height,
            format=each.format,
            quality=each.quality,
            decision=each.decision,
        )
        for each in outputs
    ]
    answer = Answer(cpu_seconds=time.process_time() - started, outputs=heads)
    write_frame(answers, answer, [each.data for each in outputs])


def _checked(outputs: list[Compressed]) -> list[Compressed]:
    if sum(len(each.data) for each in outputs) > MAX_ANSWER_BYTES:
        raise ImageError(ImageErrorCode.OUT_OF_MEMORY, _TOO_LARGE)
    return outputs


if __name__ == "__main__":
    main()
