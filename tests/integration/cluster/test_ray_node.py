"""The script that systemd runs on every node ends when the node is of no use any more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[3] / "cluster" / "ray-node.sh"


@contextmanager
def running_node(folder: Path, *, before: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A node whose `ray start --block` has a raylet, and goes on after its end."""
    raylet = shutil.copy(str(shutil.which("sleep")), folder / "raylet")
    command = ["/bin/sh", "-c", f"{before} {raylet} 60 & while :; do sleep 0.1; done"]
    with subprocess.Popen([SCRIPT, *command], stderr=subprocess.PIPE, start_new_session=True) as running:
        assert running.stderr is not None
        try:
            assert running.stderr.readline() == b"the raylet has started\n"
            yield running
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(running.pid, signal.SIGKILL)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with running_node(tmp_path) as running:
        yield running


def raylet_of(node: subprocess.Popen[bytes]) -> int | None:
    children = psutil.Process(node.pid).children(recursive=True)
    return next((each.pid for each in children if each.name() == "raylet"), None)


def test_it_ends_when_the_raylet_has_ended(node: subprocess.Popen[bytes]) -> None:
    raylet = raylet_of(node)
    assert raylet is not None
    os.kill(raylet, signal.SIGTERM)
    assert node.wait(timeout=10) == 1


@pytest.mark.timeout(90)
def test_it_ends_although_ray_is_locked_up(tmp_path: Path) -> None:
    with running_node(tmp_path, before="trap '' TERM;") as node:
        ray = psutil.Process(node.pid).children(recursive=True)
        raylet = raylet_of(node)
        assert raylet is not None
        os.kill(raylet, signal.SIGKILL)
        assert node.wait(timeout=60) == 1
        assert not [each for each in ray if each.is_running()]


def test_it_hands_on_a_request_to_end(node: subprocess.Popen[bytes]) -> None:
    (ray,) = [each for each in psutil.Process(node.pid).children() if each.name() == "sh"]
    node.terminate()
    assert node.wait(timeout=10) == 0
    wait_until(lambda: not ray.is_running() or ray.status() == psutil.STATUS_ZOMBIE, "it has ended, too")
