"""`python -m actors.drain SECONDS`: begin nothing more, wait for the running tasks, and end all actors."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from actors import registry
from actors.queue.manager import QueueManager
from actors.webhook.sender import WebhookSender
from cluster.settings import Settings

if TYPE_CHECKING:
    from ray.actor import ActorProxy

_DRAIN_GRACE_SECONDS = 10
_RESTART_POLL_SECONDS = 0.5


def main() -> None:
    """Drain and end the deployment on the cluster at RAY_ADDRESS. Exit code 1: images were still in tasks."""
    timeout_seconds = float(sys.argv[1])
    settings = Settings()
    ray.init(address="auto", namespace=settings.ray_namespace, log_to_driver=False)
    manager = registry.find(QueueManager, registry.QUEUE_MANAGER, settings)
    sender = registry.find(WebhookSender, registry.WEBHOOK, settings)
    deadline = time.monotonic() + timeout_seconds
    calls = None if sender is None else sender.drain.remote()
    left = 0 if manager is None else _drained(manager, deadline)
    if calls is not None:  # one that has not ended by then is made again by the next sender
        ray.wait([calls], timeout=max(0, deadline - time.monotonic()))
    registry.stop_all(settings)
    ray.shutdown()
    sys.exit(1 if left else 0)


def _drained(manager: ActorProxy[QueueManager], deadline: float) -> int:
    """Return how many images are left, or 1 when the queue manager did not say."""
    while (seconds := deadline - time.monotonic()) > 0:
        try:
            return ray.get(manager.drain.remote(seconds), timeout=seconds + _DRAIN_GRACE_SECONDS)
        except RayActorError:  # it is being started again
            time.sleep(_RESTART_POLL_SECONDS)
        except GetTimeoutError:
            break
    return 1


if __name__ == "__main__":
    main()
