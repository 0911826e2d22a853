"""The stall guard ends a worker pool whose batches wait in vain."""

from __future__ import annotations

import asyncio

import pytest

from actors.queue.stall_guard import CHECKS, StallGuard


class Cluster:
    """One with some free cores, or without a head."""

    def __init__(self) -> None:
        self.cores: float | None = 1
        self.pools_ended = 0
        self.guard = StallGuard(self.free_cores, self.end_pool)

    async def free_cores(self) -> float:
        if self.cores is None:
            await asyncio.Event().wait()
        return self.cores or 0

    async def end_pool(self) -> None:
        self.pools_ended += 1

    async def check(self, times: int, *, waiting_seconds: float = 60) -> None:
        for _ in range(times):
            await self.guard.check(waiting_seconds)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.queue.stall_guard._MIN_INTERVAL_SECONDS", 0)


async def test_checks_that_come_close_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.queue.stall_guard._MIN_INTERVAL_SECONDS", 60)
    cluster = Cluster()
    await cluster.check(10 * CHECKS)
    assert cluster.pools_ended == 0


async def test_a_pool_is_ended_when_its_batches_wait_in_vain() -> None:
    cluster = Cluster()
    await cluster.check(CHECKS - 1)
    assert cluster.pools_ended == 0
    await cluster.check(1)
    assert cluster.pools_ended == 1


async def test_each_time_it_takes_longer_up_to_a_minute() -> None:
    cluster, checks = Cluster(), []
    for pools in range(1, 6):
        checks.append(0)
        while cluster.pools_ended < pools:
            await cluster.check(1)
            checks[-1] += 1
    assert checks == [CHECKS, 2 * CHECKS, 4 * CHECKS, 8 * CHECKS, 8 * CHECKS]


@pytest.mark.parametrize(("cores", "waiting_seconds"), [(0, 60), (0.5, 60), (None, 60), (1, 5)])
async def test_a_single_look_that_finds_nothing_to_blame_it_for_spares_it(
    monkeypatch: pytest.MonkeyPatch, cores: float | None, waiting_seconds: float
) -> None:
    monkeypatch.setattr("actors.queue.stall_guard._HEAD_WAIT_SECONDS", 0.01)
    cluster = Cluster()
    await cluster.check(CHECKS - 1)
    cluster.cores = cores
    await cluster.check(1, waiting_seconds=waiting_seconds)
    cluster.cores = 1
    await cluster.check(CHECKS - 1)
    assert cluster.pools_ended == 0
