"""The limits of the cluster at source hosts, in a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.identifiers import new_identifier
from cluster.redis import source_hosts
from cluster.redis.source_hosts import BREAKER_FAILURES, Behaviour, Permit, SourceHosts
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.settings import Settings

MOST = 8
SOURCE_AWAY_SECONDS = 1.5


@pytest.fixture
async def hosts(isolated: Settings) -> AsyncIterator[SourceHosts]:
    changes = {"max_downloads_per_host": MOST, "source_away_seconds": SOURCE_AWAY_SECONDS}
    opened = SourceHosts(isolated.model_copy(update=changes))
    yield opened
    await opened.close()


@pytest.fixture
def host() -> str:
    """A host that nobody has asked for before."""
    return f"{new_identifier('shop')}.example:443"


async def enter(hosts: SourceHosts, host: str, batch: str = "t:", wanted: int = 4) -> Permit:
    return (await hosts.enter(batch, {host: wanted}))[host]


async def leave(hosts: SourceHosts, host: str, *, granted: int = 0, **how: float) -> None:
    answers, failures = int(how.get("answers", 0)), int(how.get("failures", 0))
    begun = int(how.get("begun", answers + failures))
    behaviour = Behaviour(granted, begun, answers, failures, how.get("pause", 0))
    await hosts.leave("t:", {host: behaviour})


async def probe_until_given_up(hosts: SourceHosts, host: str, **how: float) -> None:
    """Whenever a probe is granted, this is how it ends."""

    async def is_given_up() -> bool:
        permit = await enter(hosts, host)
        if permit.downloads:
            await leave(hosts, host, granted=1, **how)
        return permit.given_up

    await wait_until_async(is_given_up, "the source is given up")


async def test_a_host_is_shared_among_batches(hosts: SourceHosts, host: str) -> None:
    granted = [(await enter(hosts, host, f"{number}:")).downloads for number in range(6)]
    assert granted == [4, 2, 1, 1, 0, 0]
    await hosts.leave("0:", {host: Behaviour(4, 4, 4, 0, 0)})
    assert (await enter(hosts, host)).downloads == 2


async def test_permits_of_a_dead_worker_are_free_again_and_kept_ones_are_not(
    hosts: SourceHosts, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_hosts, "LEASE_SECONDS", 0.5)
    kept = (await enter(hosts, host, "living:")).downloads
    while (await enter(hosts, host, new_identifier("dead"))).downloads:
        pass

    async def is_free() -> bool:
        await hosts.keep("living:", {host: kept})
        return (await enter(hosts, host, "next:", wanted=1)).downloads == 1

    assert not await is_free()
    await wait_until_async(is_free, "the permits of the dead workers are free")
    assert (await enter(hosts, host, "other:", wanted=MOST)).downloads == (MOST - kept) // 2


async def test_hosts_are_independent(hosts: SourceHosts, host: str) -> None:
    found = await hosts.enter("t:", {host: 3, f"www.{host}": 2})
    assert found == {host: Permit(3), f"www.{host}": Permit(2)}
    await leave(hosts, host, granted=3, answers=1, pause=30)
    assert (await enter(hosts, f"www.{host}", "u:")).downloads > 0


async def test_a_host_that_asks_for_it_is_left_alone_and_gets_half(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, answers=1, pause=0.4)
    waits = await enter(hosts, host)
    assert waits.downloads == 0
    assert 0 < waits.wait_seconds <= 0.4
    await asyncio.sleep(waits.wait_seconds + 0.05)
    assert (await enter(hosts, host, wanted=MOST)).downloads == 2  # half of a limit of 4
    await leave(hosts, host, granted=2, answers=2)
    assert (await enter(hosts, host, wanted=MOST)).downloads == 3  # half of a limit of 5


async def test_a_host_that_does_not_answer_is_probed_and_then_given_up(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=BREAKER_FAILURES - 1)
    assert (await enter(hosts, host)).downloads == 4
    await leave(hosts, host, granted=4, failures=1)
    assert (await enter(hosts, host)).downloads == 1  # the probe
    waits = await enter(hosts, host)
    assert (waits.downloads, waits.given_up) == (0, False)
    assert waits.wait_seconds > 0
    await leave(hosts, host, granted=1, failures=1)
    await probe_until_given_up(hosts, host, failures=1)

    async def has_another_chance() -> bool:
        return (await enter(hosts, host)).downloads == 1

    await wait_until_async(has_another_chance, "it is asked again, later")


async def test_a_host_is_not_given_up_for_a_time_in_which_nobody_asked_it(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=BREAKER_FAILURES)
    await asyncio.sleep(SOURCE_AWAY_SECONDS + 0.1)
    assert await enter(hosts, host) == Permit(1)
    assert not (await enter(hosts, host)).given_up
    await asyncio.sleep(SOURCE_AWAY_SECONDS + 0.1)  # the probe was not made, for example because MongoDB was away
    assert await enter(hosts, host) == Permit(1)
    await leave(hosts, host, granted=1, answers=1)
    assert (await enter(hosts, host)).downloads == 4


async def test_the_silence_of_a_host_counts_from_when_it_is_only_probed(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=1)
    await asyncio.sleep(SOURCE_AWAY_SECONDS + 0.1)
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=BREAKER_FAILURES - 1)
    assert await enter(hosts, host) == Permit(1)


async def test_a_host_is_given_up_although_its_probes_are_broken_off(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=BREAKER_FAILURES)
    await probe_until_given_up(hosts, host, begun=1)


async def test_an_answer_closes_the_breaker(hosts: SourceHosts, host: str) -> None:
    await leave(hosts, host, granted=(await enter(hosts, host)).downloads, failures=BREAKER_FAILURES)
    assert (await enter(hosts, host)).downloads == 1
    await leave(hosts, host, granted=1, answers=1)
    assert (await enter(hosts, host)).downloads == 4
