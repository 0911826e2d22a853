"""The one place that knows the actors' names, namespace and lifetime."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, cast

import ray

from cluster.identifiers import new_identifier

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from cluster.settings import Settings

QUEUE_MANAGER = "queue-manager"
WEBHOOK = "webhook"
WORKER_POOL = "worker-pool"
_COORDINATOR = "coordinator"
_making = threading.Lock()  # `functools.cache` lets threads that come together each make one
_MAX_CALLS = 10_000  # at once; each batch that runs has one open


def new_coordinator_name() -> str:
    """A name that no coordinator had before."""
    return new_identifier(_COORDINATOR)


def coordinator_names(settings: Settings) -> list[str]:
    """The names of all coordinators. Asks the head node: not for hot paths."""
    return [name for name in _names(settings) if name.startswith(f"{_COORDINATOR}_")]


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
        "max_concurrency": _MAX_CALLS,
    }
    with _making:
        known = _remote(actor_class)
    return cast("ActorHandle[Any]", known.options(**options).remote(*arguments))


@functools.cache
def _remote(actor_class: type) -> Any:  # noqa: ANN401 - Ray says no more
    """Once: Ray stores each such class anew, and whoever is handed an actor of one that it does not know asks the head.

    Source: `FunctionActorManager.load_actor_class` of Ray 2.60.
    """
    return ray.remote(actor_class)


def stop_all(settings: Settings) -> None:
    """End every actor of the deployment at once; what they did is in MongoDB."""
    for name in _names(settings):
        with contextlib.suppress(ValueError):  # it has left meanwhile
            ray.kill(ray.get_actor(name, namespace=settings.ray_namespace))


def find(name: str, settings: Settings) -> ActorHandle[Any] | None:
    """The actor of that name, or None while there is none. Asks the head node: not for hot paths."""
    try:
        return ray.get_actor(name, namespace=settings.ray_namespace)
    except ValueError:
        return None


def _names(settings: Settings) -> list[str]:
    actors = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in actors if actor["namespace"] == settings.ray_namespace]
