"""`python -m actors.drain SECONDS`: begin nothing more, wait for what runs, and end all actors."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray

from actors import registry
from cluster.settings import Settings

_ANSWER_SECONDS = 10


def main() -> None:
    """Drain and end the deployment on the cluster at RAY_ADDRESS; exit code 1: images were still in tasks."""
    timeout_seconds = float(sys.argv[1])
    settings = Settings()
    ray.init(address="auto", namespace=settings.ray_namespace, log_to_driver=False)
    manager = registry.find(registry.QUEUE_MANAGER, settings)
    sender = registry.find(registry.WEBHOOK, settings)
    left: Any = 0
    deadline = time.monotonic() + timeout_seconds
    calls = None if sender is None else sender.drain.remote()
    if manager is not None:
        left = ray.get(manager.drain.remote(timeout_seconds), timeout=timeout_seconds + _ANSWER_SECONDS)
    if calls is not None:  # one that has not ended by then is made again by the next sender
        ray.wait([calls], timeout=max(0, deadline - time.monotonic()))
    registry.stop_all(settings)
    ray.shutdown()
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
