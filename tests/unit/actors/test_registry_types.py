"""mypy checks the calls from one actor to another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SNIPPET = """
from ray.actor import ActorProxy

from actors import registry
from actors.messages import Stop
from actors.queue.manager import QueueManager
from actors.request.coordinator import RequestCoordinator
from actors.worker.task import BatchOwner
from cluster.settings import Settings


async def call(settings: Settings) -> Stop:
    manager = registry.start(QueueManager, "queue-manager", settings, settings)
    await manager.wake_up.remote()
    coordinator = registry.find(RequestCoordinator, "coordinator", settings)
    assert coordinator is not None
    return await coordinator.wait_for_stop.remote("request", 1)


def owner(coordinator: RequestCoordinator, manager: QueueManager) -> ActorProxy[BatchOwner]:
    return registry.this_actor(coordinator)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("", "", None),
        ("manager.wake_up.", "manager.wake_upp.", "has no attribute"),
        ('wait_for_stop.remote("request", 1)', 'wait_for_stop.remote(1, "request")', "has incompatible type"),
        ("-> Stop:", "-> bool:", "Incompatible return value type"),
        ("this_actor(coordinator)", "this_actor(manager)", "has incompatible type"),
    ],
    ids=["all right", "a misspelt method", "wrong arguments", "another answer", "another actor"],
)
def test_a_wrong_call_of_an_actor_is_a_type_error(right: str, wrong: str, error: str | None, tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET.replace(right, wrong) if right else SNIPPET)
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if error is None:
        assert mypy.stdout == ""
    else:
        assert error in mypy.stdout
    assert mypy.returncode == int(error is not None)
