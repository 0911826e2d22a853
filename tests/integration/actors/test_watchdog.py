"""The watchdog ends an actor that is alive and does not answer, and no other one."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest
import ray
from ray.exceptions import RayActorError

from actors import registry
from actors.registry import Pingable
from actors.watchdog import Watchdog
from cluster.identifiers import new_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.actor import ActorProxy

    from cluster.settings import Settings

MAX_UNANSWERED, ANSWER_SECONDS = 2, 2.0


class Sleeper(Pingable):
    """An actor that can be kept from answering."""

    @ray.method
    async def pid(self) -> int:
        """Return the id of its process."""
        return os.getpid()

    @ray.method
    async def sleep(self) -> None:
        """Keep everybody waiting, as a call that hangs would."""
        time.sleep(600)  # noqa: ASYNC251 - that is what it is for


@pytest.fixture
def sleeper(isolated: Settings) -> Iterator[tuple[str, ActorProxy[Sleeper]]]:
    name = new_identifier("sleeper")
    actor = registry.start(Sleeper, name, isolated)
    yield name, actor
    registry.kill(actor, restart=False)


async def pid_of(actor: ActorProxy[Sleeper]) -> int | None:
    try:
        return int(await asyncio.wait_for(actor.pid.remote(), 1))
    except (TimeoutError, RayActorError):
        return None


@pytest.mark.timeout(60)
async def test_an_actor_that_does_not_answer_is_started_again(
    isolated: Settings, sleeper: tuple[str, ActorProxy[Sleeper]]
) -> None:
    name, actor = sleeper
    before = await asyncio.wait_for(actor.pid.remote(), 20)
    watch = Watchdog(isolated, max_unanswered=MAX_UNANSWERED)
    for _ in range(5):
        await watch.check([name, "nobody"])
    assert await pid_of(actor) == before
    actor.sleep.remote()
    begun = time.monotonic()
    while (now := await pid_of(actor)) in {None, before}:
        await watch.check([name])
    assert now != before
    assert time.monotonic() - begun > MAX_UNANSWERED * ANSWER_SECONDS
