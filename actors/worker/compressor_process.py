"""The process that compresses the images of a worker: `python -m actors.worker.compressor_process <limits as JSON>`.

It decodes files that strangers wrote, so it gives up its rights before the first one. It ends with its worker.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from actors.imaging.gate import Limits
from actors.worker import sandbox
from actors.worker.compressor_frames import (
    MAX_ANSWER_BYTES,
    Answer,
    Failure,
    Greeting,
    Order,
    OutputHead,
    read_frame,
    write_frame,
)
from cluster.errors import ImageError

if TYPE_CHECKING:
    from typing import BinaryIO


def main() -> None:
    """Compress one image after another, until the worker ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not reach the answers
    keep_freed_memory()
    Pillow.init()  # it would look for its plugins at the first picture
    write_frame(answers, Greeting(not_closed=sandbox.enter()))
    while True:
        try:
            head, source = read_frame(orders, max_body_bytes=MAX_ANSWER_BYTES)
        except EOFError:
            return
        _compress(Order.model_validate_json(head), source, limits, answers)


def _compress(order: Order, source: bytes, limits: Limits, answers: BinaryIO) -> None:
    # libvips works in threads of its own, which the clock of this thread leaves out.
    started = time.process_time()
    try:
        outputs = compress(source, order.options, limits)
    except ImageError as error:
        failure = Failure(code=error.code, message=error.message)
        write_frame(answers, Answer(cpu_seconds=time.process_time() - started, failure=failure))
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


if __name__ == "__main__":
    main()
