"""The process that compresses images: its outputs, its life, and what it knows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from actors.imaging.compress import compress
from actors.worker.compressor_child import StartError
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.support.compressing import child_of, compressed, compressing, kill_child_of
from tests.support.pictures import jpeg
from tests.support.poison import poison
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pictures import LIMITS

if TYPE_CHECKING:
    from actors.worker.compressor import Compressor

LEAKED_BYTES = 150 * 1024 * 1024  # what each such picture leaves behind


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


def test_it_ends_with_its_worker(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = f"""
import os, psutil
from actors.imaging.compress import compress
from actors.worker.compressor import Compressor
from tests.unit.actors.imaging.pictures import LIMITS
compressor = Compressor(LIMITS, max_memory_bytes=1, max_memory_fraction=1, max_decode_cpu_seconds=1,
                        timeout_seconds=1)
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
    known = {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "PYTHONPATH", "OPENBLAS_NUM_THREADS"}
    assert set(child.environ()) <= known
    program = "import sys, json; import actors.worker.compressor_process; print(json.dumps(sorted(sys.modules)))"
    found = json.loads(subprocess.check_output([sys.executable, "-c", program]))
    assert not {"ray", "pymongo", "boto3", "redis", "aiohttp"} & set(found)


def test_each_of_its_threads_is_in_the_sandbox(compressor: Compressor) -> None:
    compressed(compressor, jpeg())
    tasks = Path(f"/proc/{child_of(compressor).pid}/task").iterdir()
    states = {
        dict(line.split(":\t") for line in (task / "status").read_text().splitlines())["Seccomp"] for task in tasks
    }
    assert states == {"2"}  # a filter; see proc(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_service_ends_no_image(compressor: Compressor, number: signal.Signals) -> None:
    child_of(compressor).send_signal(number)
    child = child_of(compressor)
    assert compressed(compressor, jpeg()).outputs
    assert child.is_running()


def test_a_start_that_fails_blames_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with compressing() as compressor:
        kill_child_of(compressor)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/nonexistent")
            with pytest.raises(StartError):
                compressed(compressor, jpeg())
        assert compressed(compressor, jpeg()).outputs


def test_a_process_that_keeps_much_memory_is_replaced(compressor: Compressor) -> None:
    child = child_of(compressor)
    before_bytes = child.memory_info().rss
    for seed in range(3):
        compressed(compressor, poison("leak", seed))
        assert child_of(compressor).memory_info().rss - before_bytes < LEAKED_BYTES
    assert not child.is_running()
