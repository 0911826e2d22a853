"""The calls from the queue manager to coordinators since the first question. `python -m` this runs as a driver."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import ray

from actors import registry
from actors.queue.manager import QueueManager
from cluster.settings import Settings

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from tests.support.service import Service


def manager_calls(service: Service) -> int:
    """Ask from a process of its own, because Ray reads its address when it is imported."""
    command = [sys.executable, "-m", __name__]
    environment = os.environ | service.stack.environment
    return int(subprocess.run(command, env=environment, check=True, capture_output=True).stdout.split()[-1])


def _main() -> None:
    settings = Settings()
    ray.init(address="auto", namespace="bench", log_to_driver=False)
    manager = registry.find(QueueManager, registry.QUEUE_MANAGER, settings)
    if manager is None:
        raise LookupError(registry.QUEUE_MANAGER)
    print(ray.get(cast("ActorHandle[QueueManager]", manager).__ray_call__.remote(_calls)))


def _calls(manager: Any) -> int:  # noqa: ANN401 - runs in the actor
    """Return the number of its calls. Counting begins with the first question."""
    coordinators = manager._coordinators  # noqa: SLF001 - to look behind it
    if not hasattr(coordinators, "calls"):
        push, coordinators.calls = coordinators._update_share, 0  # noqa: SLF001 - the same

        async def counted(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - handed on
            coordinators.calls += 1
            return await push(*arguments, **more)

        coordinators._update_share = counted  # noqa: SLF001 - the same
    return int(coordinators.calls)


if __name__ == "__main__":
    _main()
