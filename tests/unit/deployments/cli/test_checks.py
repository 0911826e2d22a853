"""The checks of `darkroom doctor` that need no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.settings import Settings
from deployments.cli.checks import Verdict, check_service
from deployments.local.home import Home

if TYPE_CHECKING:
    from pathlib import Path


def test_a_service_that_was_named_must_answer(tmp_path: Path, unused_tcp_port: int) -> None:
    """On a node, `doctor` would be content with a service that was never deployed."""
    (check,) = check_service(Settings(url=f"http://127.0.0.1:{unused_tcp_port}"), Home(tmp_path))
    assert check.verdict is Verdict.FAULTY
    assert "DARKROOM_URL" in check.fix
    assert "darkroom up" not in check.fix


def test_a_service_that_nobody_started_is_no_fault(tmp_path: Path) -> None:
    (check,) = check_service(Settings(), Home(tmp_path))
    assert check.verdict is Verdict.NEUTRAL
