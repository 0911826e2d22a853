"""The ends of a compression: what ends it, which reason its image gets, and that no other image pays for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image as Pillow

from actors.imaging.compress import compress
from actors.worker.compressor import AbandonedError
from actors.worker.compressor_frames import read_frame
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.support.compressing import MEMORY_BYTES, child_of, code_of, compressed, compressing, kill_child_of
from tests.support.pictures import jpeg
from tests.support.poison import poison
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pictures import LIMITS, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from actors.worker.compressor import Compressor

MAX_DECODE_CPU_SECONDS = 0.1
READ_FRAME = "actors.worker.compressor_child.read_frame"


def test_a_crash_costs_its_image_alone(compressor: Compressor) -> None:
    assert code_of(compressor, poison("segfault", 1)) is ImageErrorCode.DECODER_CRASHED
    assert compressed(compressor, jpeg()).outputs


@pytest.mark.parametrize("kind", ["hang", "lock"])
@pytest.mark.usefixtures("poisonable")
def test_a_compression_that_takes_too_long_is_ended(kind: str) -> None:
    with compressing(timeout_seconds=0.5) as compressor:
        assert code_of(compressor, poison(kind, 1), meanwhile=compressor.end_overrun) is ImageErrorCode.TIMEOUT


def test_a_compression_that_takes_too_much_memory_is_ended(compressor: Compressor) -> None:
    assert code_of(compressor, poison("memory", 1), meanwhile=compressor.end_overrun) is ImageErrorCode.OUT_OF_MEMORY
    assert compressed(compressor, jpeg()).outputs


@pytest.mark.usefixtures("poisonable")
def test_a_large_compression_is_ended_when_the_machine_is_short_of_memory() -> None:
    with compressing(max_memory_bytes=10 * MEMORY_BYTES, max_memory_fraction=0.0) as compressor:
        code = code_of(compressor, poison("memory", 1), meanwhile=compressor.end_overrun)
        assert code is ImageErrorCode.OUT_OF_MEMORY
        compressor.end_overrun()
        assert compressed(compressor, jpeg()).outputs


def test_a_compression_that_is_abandoned_ends_and_the_next_one_begins(compressor: Compressor) -> None:
    child = child_of(compressor)
    work = compressor.thread.submit(compressor.compress, poison("hang", 1), ImageOptions())
    threading.Timer(0.3, compressor.abandon).start()
    assert isinstance(work.exception(), AbandonedError)
    assert not child.is_running()
    assert compressed(compressor, jpeg()).outputs


def test_a_compression_that_is_abandoned_while_its_process_starts_ends(compressor: Compressor) -> None:
    kill_child_of(compressor)
    work = compressor.thread.submit(compressor.compress, poison("hang", 1), ImageOptions())
    wait_until(lambda: any(each.status() != psutil.STATUS_ZOMBIE for each in psutil.Process().children()), "it starts")
    compressor.abandon()
    assert isinstance(work.exception(), AbandonedError)
    assert compressed(compressor, jpeg()).outputs


def test_a_process_that_the_kernel_has_killed_was_short_of_memory(compressor: Compressor) -> None:
    child = child_of(compressor)
    threading.Timer(0.3, child.kill).start()
    assert code_of(compressor, poison("hang", 1)) is ImageErrorCode.OUT_OF_MEMORY


@pytest.mark.usefixtures("poisonable")
def test_a_decode_that_takes_too_much_cpu_time_is_ended() -> None:
    slow = save(Pillow.effect_noise((5000, 4000), 100).convert("RGB"), "JPEG", quality=90, comment=b"poison: spin")
    with compressing(max_decode_cpu_seconds=MAX_DECODE_CPU_SECONDS) as compressor:
        assert code_of(compressor, slow, meanwhile=compressor.end_overrun) is ImageErrorCode.TOO_MANY_PIXELS
        assert compressed(compressor, jpeg()).outputs
    wait_until(lambda: not psutil.Process().children(), "both processes are gone")


def test_an_encode_may_take_more_cpu_time_than_a_decode() -> None:
    options = ImageOptions.model_validate({"format": "avif", "effort": "max"})
    with compressing(max_decode_cpu_seconds=MAX_DECODE_CPU_SECONDS) as compressor:
        work = compressor.thread.submit(compressor.compress, jpeg(width=1200, height=900), options)
        processes = set()
        while not work.done():
            compressor.end_overrun()
            processes |= set(psutil.Process().children())
            time.sleep(0.05)
        assert work.result().cpu_seconds > MAX_DECODE_CPU_SECONDS
        assert len(processes) == 2, "another one has decoded it"
    wait_until(lambda: not psutil.Process().children(), "both processes are gone")


def test_a_process_that_died_between_two_images_costs_none(compressor: Compressor) -> None:
    kill_child_of(compressor)
    assert compressed(compressor, jpeg()).outputs


@pytest.mark.usefixtures("poisonable")
def test_an_image_is_not_to_blame_for_the_one_before_it() -> None:
    with compressing(timeout_seconds=1) as compressor:
        assert compressed(compressor, poison("later", 1)).outputs
        code = code_of(compressor, poison("hang", 2), meanwhile=compressor.end_overrun)
        assert code is ImageErrorCode.TIMEOUT, "the first one has ended the process of the second one"


@pytest.mark.parametrize("end", ["timeout", "abandon"])
@pytest.mark.usefixtures("poisonable")
def test_an_end_that_comes_with_the_answer_hits_no_other_image(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    with compressing(timeout_seconds=0 if end == "timeout" else 30) as compressor:
        child = child_of(compressor)
        after_the_answer(monkeypatch, compressor.end_overrun if end == "timeout" else compressor.abandon)
        assert compressed(compressor, jpeg()).outputs, "it was finished"
        assert compressed(compressor, jpeg()).outputs
        assert not child.is_running()


def after_the_answer(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act as the worker's event loop when the first answer is read and its image still counts as at work."""
    acts = [act]

    def read_and_act(file: IO[bytes], *, max_body_bytes: int) -> tuple[bytes, bytes]:
        frame = read_frame(file, max_body_bytes=max_body_bytes)
        if frame[1] and acts:
            acts.pop()()
        return frame

    monkeypatch.setattr(READ_FRAME, read_and_act)


def without_memory(*_: object, **__: object) -> None:
    raise MemoryError


def test_an_answer_that_cannot_be_read_hits_no_other_image(
    monkeypatch: pytest.MonkeyPatch, compressor: Compressor
) -> None:
    child = child_of(compressor)
    with monkeypatch.context() as patch:
        patch.setattr(READ_FRAME, without_memory)
        with pytest.raises(MemoryError):
            compressed(compressor, jpeg())
    assert compressed(compressor, jpeg(seed=2)).outputs == compress(jpeg(seed=2), ImageOptions(), LIMITS)
    assert not child.is_running()


@pytest.mark.parametrize("lie", ["wide", "endless", "empty", "huge", "other", "more"])
def test_an_answer_that_lies_is_a_crash(compressor: Compressor, lie: str) -> None:
    assert code_of(compressor, poison(lie, 1)) is ImageErrorCode.DECODER_CRASHED
    assert compressed(compressor, jpeg()).outputs


def test_no_other_thread_of_the_process_has_more_rights(compressor: Compressor) -> None:
    with pytest.raises(ImageError, match=r"reached: \[\]"):
        compressed(compressor, poison("escape", 1))
