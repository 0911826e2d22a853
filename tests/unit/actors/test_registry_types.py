"""mypy checks the calls from one actor to another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
SNIPPET = """
import asyncio

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
    await asyncio.to_thread(
        registry.start, RequestCoordinator, "coordinator", settings, "coordinator", settings
    )
    coordinator = registry.find(RequestCoordinator, "coordinator", settings)
    assert coordinator is not None
    return await coordinator.wait_for_stop.remote("request", 1)


def owner(coordinator: RequestCoordinator, manager: QueueManager) -> ActorProxy[BatchOwner]:
    return registry.this_actor(coordinator)
"""


class Mistake(NamedTuple):
    """A change to the snippet, and the error that it causes."""

    right: str
    wrong: str
    error: str


MISTAKES = {
    "a_misspelt_method": Mistake("manager.wake_up.", "manager.wake_upp.", "has no attribute"),
    "wrong_arguments": Mistake(
        'wait_for_stop.remote("request", 1)', 'wait_for_stop.remote(1, "request")', "has incompatible type"
    ),
    "another_answer": Mistake("-> Stop:", "-> bool:", "Incompatible return value type"),
    "another_actor": Mistake("this_actor(coordinator)", "this_actor(manager)", "has incompatible type"),
    "a_wrong_start": Mistake("settings, settings)", 'settings, "settings")', "has incompatible type"),
    "a_start_without_arguments": Mistake("settings, settings)", "settings)", "Missing positional argument"),
    "a_wrong_start_in_a_thread": Mistake(
        '"coordinator", settings\n', "settings\n", '"to_thread" has incompatible type'
    ),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Check the snippet and each mistake in one run. Return the errors of each."""
    folder = tmp_path_factory.mktemp("snippets")
    (folder / "all_right.py").write_text(SNIPPET)
    for name, mistake in MISTAKES.items():
        assert mistake.right in SNIPPET
        (folder / f"{name}.py").write_text(SNIPPET.replace(mistake.right, mistake.wrong))
    files = sorted(str(path) for path in folder.iterdir())
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert mypy.stderr == ""
    lines = mypy.stdout.splitlines()
    return {Path(file).stem: "\n".join(line for line in lines if f"/{Path(file).name}:" in line) for file in files}


@pytest.mark.timeout(120)
def test_a_right_call_of_an_actor_has_no_error(errors: dict[str, str]) -> None:
    assert errors["all_right"] == ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_call_of_an_actor_is_a_type_error(name: str, errors: dict[str, str]) -> None:
    assert MISTAKES[name].error in errors[name]
