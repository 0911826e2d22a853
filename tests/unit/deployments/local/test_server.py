from __future__ import annotations

from typing import TYPE_CHECKING

from deployments.local.server import log_tail

if TYPE_CHECKING:
    from pathlib import Path


def test_the_end_of_a_log_is_shown_and_more_of_it_searched(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n" + "".join(f"line {number}\n" for number in range(100)))
    assert log_tail(log, since_byte=len("earlier\n")).splitlines() == [f"line {number}" for number in range(80, 100)]
    assert log_tail(log, since_byte=len("earlier\n"), lines=500).startswith("line 0\n")
    assert log_tail(tmp_path / "nothing") == ""
