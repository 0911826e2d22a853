"""Starts the actors that a deployment has one of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import registry
from actors.queue.manager import QueueManager
from actors.webhook.sender import WebhookSender
from actors.worker.pool import WorkerPool

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from cluster.settings import Settings


def start_system_actors(settings: Settings) -> ActorHandle[Any]:
    """Start the queue manager and the webhook sender where they do not run yet; returns the queue manager."""
    registry.start(WebhookSender, registry.WEBHOOK, settings, settings)
    registry.start(WorkerPool, registry.WORKER_POOL, settings, settings)
    return registry.start(QueueManager, registry.QUEUE_MANAGER, settings, settings)
