"""The process that compresses images: its outputs, its ends, and what a decoder in it can reach."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from actors.imaging.compress import compress
from actors.worker.compressor import Compression, Compressor
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.support.pictures import jpeg
from tests.support.poison import DECODER, poison
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pictures import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MEMORY_BYTES = 200_000_000


def made(
    *, timeout_seconds: float = 30, max_memory_bytes: int = MEMORY_BYTES, max_memory_fraction: float = 1
) -> Compressor:
    return Compressor(
        LIMITS,
        max_memory_bytes=max_memory_bytes,
        max_memory_fraction=max_memory_fraction,
        timeout_seconds=timeout_seconds,
    )


@pytest.fixture
def compressor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compressor]:
    monkeypatch.syspath_prepend(DECODER)
    compressor = made()
    yield compressor
    compressor.close()


def child_of(compressor: Compressor) -> psutil.Process:
    compressor.thread.submit(compressor.start).result()
    (child,) = psutil.Process().children()
    return child


def compressed(compressor: Compressor, data: bytes, options: ImageOptions | None = None) -> Compression:
    return compressor.thread.submit(compressor.compress, data, options or ImageOptions()).result()


def code_of(compressor: Compressor, data: bytes, *, meanwhile: Callable[[], object] = lambda: None) -> ImageErrorCode:
    work = compressor.thread.submit(compressor.compress, data, ImageOptions())
    while not work.done():
        meanwhile()
        time.sleep(0.05)
    error = work.exception()
    assert isinstance(error, ImageError)
    return error.code


@pytest.mark.parametrize(
    "options",
    [
        ImageOptions(quality=60),
        ImageOptions.model_validate({"format": "auto", "formats": ["jpeg", "webp"], "maxWidth": 100}),
        ImageOptions.model_validate({"outputs": [{"name": "a"}, {"name": "b", "maxWidth": 64, "format": "png"}]}),
    ],
    ids=["one", "auto", "several"],
)
def test_it_gives_the_outputs_of_this_process(compressor: Compressor, options: ImageOptions) -> None:
    compression = compressed(compressor, jpeg(), options)
    assert compression.outputs == compress(jpeg(), options, LIMITS)
    assert compression.cpu_seconds > 0


def test_an_image_that_fails_has_its_reason_and_its_time(compressor: Compressor) -> None:
    with pytest.raises(ImageError, match="not an image") as caught:
        compressed(compressor, b"hello")
    assert caught.value.code is ImageErrorCode.NOT_AN_IMAGE
    assert caught.value.cpu_seconds is not None


def test_a_defect_has_its_traceback(compressor: Compressor) -> None:
    with pytest.raises(RuntimeError, match="a defect of our own"):
        compressed(compressor, poison("defect", 1))
    assert compressed(compressor, jpeg()).outputs


def test_a_crash_costs_its_image_alone(compressor: Compressor) -> None:
    assert code_of(compressor, poison("segfault", 1)) is ImageErrorCode.DECODER_CRASHED
    assert compressed(compressor, jpeg()).outputs


@pytest.mark.parametrize("kind", ["hang", "lock"])
def test_a_compression_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.syspath_prepend(DECODER)
    compressor = made(timeout_seconds=0.5)
    assert code_of(compressor, poison(kind, 1), meanwhile=compressor.end_overrun) is ImageErrorCode.TIMEOUT
    compressor.close()


def test_a_compression_that_takes_too_much_memory_is_ended(compressor: Compressor) -> None:
    assert code_of(compressor, poison("memory", 1), meanwhile=compressor.end_overrun) is ImageErrorCode.OUT_OF_MEMORY
    assert compressed(compressor, jpeg()).outputs


def test_a_large_compression_is_ended_when_the_machine_is_short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DECODER)
    compressor = made(max_memory_bytes=10 * MEMORY_BYTES, max_memory_fraction=0.0)
    assert code_of(compressor, poison("memory", 1), meanwhile=compressor.end_overrun) is ImageErrorCode.OUT_OF_MEMORY
    compressor.end_overrun()
    assert compressed(compressor, jpeg()).outputs
    compressor.close()


def test_a_compression_that_is_abandoned_ends_and_the_next_one_begins(compressor: Compressor) -> None:
    child = child_of(compressor)
    abandoned = threading.Timer(0.3, compressor.abandon)
    abandoned.start()
    code_of(compressor, poison("hang", 1))
    assert not child.is_running()
    assert compressed(compressor, jpeg()).outputs


def test_a_process_that_the_kernel_has_killed_was_short_of_memory(compressor: Compressor) -> None:
    child = child_of(compressor)
    threading.Timer(0.3, child.kill).start()
    assert code_of(compressor, poison("hang", 1)) is ImageErrorCode.OUT_OF_MEMORY


def test_it_ends_with_its_worker(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = f"""
import os, psutil
from actors.imaging.compress import compress
from actors.worker.compressor import Compressor
from tests.unit.actors.imaging.pictures import LIMITS
compressor = Compressor(LIMITS, max_memory_bytes=1, max_memory_fraction=1, timeout_seconds=1)
compressor.thread.submit(compressor.start).result()
open({str(told)!r}, "w").write(str(psutil.Process().children()[0].pid))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    wait_until(lambda: not psutil.pid_exists(int(told.read_text())), "the compressor has ended")


def test_it_knows_no_secret_and_imports_nothing_of_the_service(
    monkeypatch: pytest.MonkeyPatch, compressor: Compressor
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("DARKROOM_MONGO_URL", "mongodb://darkroom:secret@127.0.0.1")
    child = child_of(compressor)
    assert set(child.environ()) <= {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "PYTHONPATH"}
    program = "import sys, json; import actors.worker.compressor_process; print(json.dumps(sorted(sys.modules)))"
    found = json.loads(subprocess.check_output([sys.executable, "-c", program]))
    assert not {"ray", "pymongo", "boto3", "redis", "aiohttp"} & set(found)
