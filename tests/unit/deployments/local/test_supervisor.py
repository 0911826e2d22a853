"""The pauses of the supervisor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from deployments.local.home import Home
from deployments.local.processes import ProcessId
from deployments.local.state import StartedServer, StateFile
from deployments.local.supervisor import Supervisor, pause_before_start

if TYPE_CHECKING:
    from pathlib import Path

STARTS = 5


class Waits(threading.Event):
    """Notes each wait without waiting, and is set after so many starts."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.starts = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        return self.starts == STARTS


def test_the_first_start_comes_at_once_and_later_ones_ever_more_slowly() -> None:
    assert [pause_before_start(starts) for starts in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_before_start(10_000) == 60


def test_a_start_that_cannot_even_begin_is_tried_ever_more_slowly(tmp_path: Path) -> None:
    home, stopped = Home(tmp_path), Waits()
    state = StateFile(home.state_file)
    state.record_start({}, {}, "http://127.0.0.1:1")
    state.record_server("mongod", StartedServer(process=ProcessId(pid=2**22 + 1, started_ticks=0, boot_id="")))

    def restart() -> bool:
        stopped.starts += 1
        raise MemoryError

    Supervisor(home, restart).watch(stopped)
    looks, pauses = stopped.seconds[::2], stopped.seconds[1::2]
    assert set(looks) == {1}
    assert pauses == [0, 1, 2, 4, 8]
