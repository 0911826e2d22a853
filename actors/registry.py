"""The one place that knows the actors' names, namespace and lifetime."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import ray

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from cluster.settings import Settings

QUEUE_MANAGER = "queue-manager"
WEBHOOK = "webhook"


def coordinator_name(request_id: str) -> str:
    """The name of a request's coordinator."""
    return f"coordinator:{request_id}"


def start(actor_class: type, name: str, settings: Settings, *arguments: object) -> ActorHandle[Any]:
    """The actor of that name, started when there is none: detached, restarted for ever, its calls never repeated."""
    options = {
        "name": name,
        "namespace": settings.ray_namespace,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_task_retries": 0,
        "num_cpus": 0,
    }
    return cast("ActorHandle[Any]", ray.remote(actor_class).options(**options).remote(*arguments))


def stop_all(settings: Settings) -> None:
    """End every actor of the deployment at once; what they did is in MongoDB."""
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["namespace"] == settings.ray_namespace:
            with contextlib.suppress(ValueError):  # it has left meanwhile
                ray.kill(ray.get_actor(actor["name"], namespace=settings.ray_namespace))


def find(name: str, settings: Settings) -> ActorHandle[Any] | None:
    """The actor of that name, or None while there is none. Asks the head node: not for hot paths."""
    try:
        return ray.get_actor(name, namespace=settings.ray_namespace)
    except ValueError:
        return None
