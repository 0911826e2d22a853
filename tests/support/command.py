"""The `darkroom` of this environment: its commands, and `darkroom up` as in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DARKROOM = Path(sys.executable).with_name("darkroom")
_READY_SECONDS = 90
_STOP_SECONDS = 90
_COMMAND_SECONDS = 170


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with some variables of the environment."""
    environment = {**os.environ, "COLUMNS": "100", **variables}
    return subprocess.run(
        [DARKROOM, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )


def printed(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON that a command has printed."""
    return json.loads(done.stdout)


@contextmanager
def up_in_the_foreground(home: Path, told: Path, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run `darkroom up` from the moment it is ready until it has ended by SIGTERM. Its output goes to a file."""
    environment = {**os.environ, **(settings or {}), "COLUMNS": "200"}
    command: list[str | Path] = [DARKROOM, "up", "--home", home]
    with told.open("w") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as running:
        try:
            wait_until(lambda: "Darkroom is ready" in told.read_text(), "it is up", timeout_seconds=_READY_SECONDS)
            yield
        finally:
            running.terminate()
            assert running.wait(timeout=_STOP_SECONDS) == 0
