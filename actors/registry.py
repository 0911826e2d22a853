"""The actors of a deployment: their names, typed handles to them, and wake-ups.

A handle is an `ActorProxy[T]`: mypy knows the methods of `T` that `ray.method` marks, their arguments and answers.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

import ray
from ray.exceptions import RayError

from cluster.aio import SingleFlight, wait_until_set
from cluster.identifiers import new_identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.actor import ActorHandle, ActorProxy

    from cluster.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
QUEUE_MANAGER = "queue-manager"
WEBHOOK = "webhook"
WORKER_POOL = "worker-pool"
_COORDINATOR = "coordinator"
_MAX_CALLS = 10_000  # at once; each batch that runs has one open
_making = threading.Lock()  # `functools.cache` lets threads that come together each make one
logger = logging.getLogger("darkroom.registry")


class Pingable:
    """An actor that the watchdog can ask whether it is alive."""

    @ray.method
    async def ping(self) -> None:
        """Return, as long as this process lives and is not stuck."""


class Wakeable(Pingable):
    """An actor that looks for work at intervals. A wake-up only saves the wait for the next look."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    @ray.method
    async def wake_up(self) -> None:
        """Look for work now."""
        self._woken.set()

    async def _wait_for_wake_up(self, seconds: float) -> None:
        """Return after a wake-up, or when the time is over."""
        await wait_until_set(self._woken, seconds)
        self._woken.clear()


def new_coordinator_name() -> str:
    """Return a name that no coordinator had before."""
    return new_identifier(_COORDINATOR)


def coordinator_names(settings: Settings) -> list[str]:
    """Return the names of all coordinators. Asks the head node, so it is not for hot paths."""
    return [name for name in _names(settings) if name.startswith(f"{_COORDINATOR}_")]


def start(
    actor_class: Callable[P, T], name: str, settings: Settings, /, *arguments: P.args, **named: P.kwargs
) -> ActorProxy[T]:
    """Return the actor of that name, and start it when there is none.

    It is detached and restarted for ever. Ray never repeats a call to it.
    """
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
    return cast("ActorProxy[T]", known.options(**options).remote(*arguments, **named))


@functools.cache
def _remote(actor_class: Callable[..., object]) -> Any:  # noqa: ANN401 - `start` gives it its type again
    """Make an actor class once.

    Ray stores each one that is made. A process that is handed an actor of an unknown class asks the head for it.
    Source: `FunctionActorManager.load_actor_class` of Ray 2.60.
    """
    return ray.remote(actor_class)


def find(actor_class: type[T], name: str, settings: Settings) -> ActorProxy[T] | None:  # noqa: ARG001 - the type
    """Return the actor of that name, or None while there is none. Asks the head node, so it is not for hot paths."""
    try:
        return cast("ActorProxy[T]", ray.get_actor(name, namespace=settings.ray_namespace))
    except ValueError:
        return None


def this_actor(actor: T) -> ActorProxy[T]:  # noqa: ARG001 - the type
    """Return the handle of an actor, which passes `self`, to hand it on to others."""
    return cast("ActorProxy[T]", ray.get_runtime_context().current_actor)


def kill(actor: ActorProxy[T], *, restart: bool) -> None:
    """End the process of an actor at once, even in the middle of a call."""
    ray.kill(cast("ActorHandle[T]", actor), no_restart=not restart)


def stop_all(settings: Settings) -> None:
    """End every actor of the deployment now. Everything that they did is in MongoDB."""
    for name in _names(settings):
        actor = find(Pingable, name, settings)
        if actor is not None:  # it may have left meanwhile
            kill(actor, restart=False)


def _names(settings: Settings) -> list[str]:
    actors = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in actors if actor["namespace"] == settings.ray_namespace]


class CachedHandle(Generic[T]):
    """A handle that is kept, because a lookup asks the head node, which may be away for minutes.

    Args:
        look_up: Finds or starts the actor. It blocks, so it runs in a thread.
    """

    def __init__(self, look_up: Callable[[], ActorProxy[T] | None]) -> None:
        self._look_up = SingleFlight(lambda: asyncio.to_thread(look_up))
        self._known: ActorProxy[T] | None = None

    async def get(self) -> ActorProxy[T] | None:
        """Return the handle, or None when there is no such actor."""
        if self._known is None:
            self._known = await self._look_up()
        return self._known

    def forget(self) -> None:
        """Look the actor up again at the next call."""
        self._known = None


class WakeUps:
    """Wake-ups for the queue manager and the webhook sender. They are lost when an actor is away."""

    def __init__(self, settings: Settings) -> None:
        self._queue_manager = CachedHandle(lambda: find(Wakeable, QUEUE_MANAGER, settings))
        self._webhook_sender = CachedHandle(lambda: find(Wakeable, WEBHOOK, settings))

    async def request_ended(self) -> None:
        """Tell that a webhook is due and that another request may be admitted."""
        await asyncio.gather(_wake_up(self._webhook_sender), _wake_up(self._queue_manager))

    async def delivery_due(self) -> None:
        """Tell that a webhook is due."""
        await _wake_up(self._webhook_sender)


async def _wake_up(handle: CachedHandle[Wakeable]) -> None:
    try:
        actor = await handle.get()
        if actor is not None:
            await actor.wake_up.remote()
    except RayError as error:
        handle.forget()
        logger.warning("a wake-up was lost: %s", type(error).__name__)
    except Exception:
        handle.forget()
        logger.exception("a wake-up was lost")
