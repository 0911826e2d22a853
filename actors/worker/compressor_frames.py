"""The frames between a worker and its compressor: a head in JSON, and files.

A frame is the length of the head, the length of the body, the head, and the body. The lengths are unsigned 32-bit
numbers in network order. The compressor reads strangers' pictures, so a worker trusts no length and no value of its
answers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from cluster.codes import ImageErrorCode
from cluster.options import ImageOptions
from cluster.records import Decision, ImageFormat

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

_LENGTHS = struct.Struct("!II")
_MAX_HEAD_BYTES = 64 * 1024
MAX_SOURCE_BYTES = 2**32 - 1
"""The most that a length can say. A compressor trusts its worker."""
MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""The most that all outputs of an image may have. A worker holds an answer in its own memory."""
_Pixels = Annotated[int, Field(ge=1, le=2**31 - 1)]  # no format has more
_CpuSeconds = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
MAX_DEFECT_CHARACTERS = 4_000


class FrameError(Exception):
    """The other side has ended within a frame, or its frame is none."""


class Order(BaseModel):
    """The head of an order. Its body is the source.

    Without options it asks for a decode within some CPU seconds, and there is no answer.
    """

    options: ImageOptions | None = None
    decode_cpu_seconds: float = 0


class OutputHead(BaseModel):
    """One output without its file."""

    model_config = ConfigDict(frozen=True)

    size_bytes: Annotated[int, Field(ge=1)]
    width: _Pixels
    height: _Pixels
    format: ImageFormat
    quality: Annotated[int, Field(ge=1, le=100)] | None
    decision: Decision


class Failure(BaseModel):
    """The reason why there are no outputs."""

    code: ImageErrorCode
    message: Annotated[str, Field(max_length=2_000)]


class Answer(BaseModel):
    """The head of an answer. Its body is the files of all outputs, one behind the other."""

    cpu_seconds: _CpuSeconds
    outputs: Annotated[list[OutputHead], Field(max_length=10)] = []
    failure: Failure | None = None
    defect: Annotated[str, Field(max_length=MAX_DEFECT_CHARACTERS)] | None = None
    """The traceback of an error that is no fault of the image."""


class Greeting(BaseModel):
    """The head of the first frame of a compressor."""

    not_closed: list[str]
    """The parts of the sandbox that this machine lacks."""


def write_frame(file: IO[bytes], head: BaseModel, body: Iterable[bytes] = ()) -> None:
    """Write a frame. Raises `OSError` when the other side has ended."""
    head_bytes, parts = head.model_dump_json().encode(), list(body)
    file.write(_LENGTHS.pack(len(head_bytes), sum(map(len, parts))))
    file.write(head_bytes)
    file.writelines(parts)
    file.flush()


def read_frame(file: IO[bytes], *, max_body_bytes: int) -> tuple[bytes, bytes]:
    """Return the head and the body of the next frame.

    Raises:
        EOFError: The other side has ended between two frames.
        FrameError: It has ended within this one, or a length is too large.
    """
    lengths = file.read(_LENGTHS.size)
    if not lengths:
        raise EOFError
    if len(lengths) < _LENGTHS.size:
        raise FrameError("a frame is incomplete")
    head_bytes, body_bytes = _LENGTHS.unpack(lengths)
    if head_bytes > _MAX_HEAD_BYTES or body_bytes > max_body_bytes:
        raise FrameError("a frame is too large")
    head, body = file.read(head_bytes), file.read(body_bytes)
    if len(head) + len(body) < head_bytes + body_bytes:
        raise FrameError("a frame is incomplete")
    return head, body
