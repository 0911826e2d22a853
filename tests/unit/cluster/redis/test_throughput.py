"""The measured pace of the queue, with a clock of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from cluster.errors import StoreUnavailableError
from cluster.redis.throughput import ThroughputMeter
from tests.support.clock import Clock

if TYPE_CHECKING:
    from cluster.redis.throughput import Throughput


class Rate:
    """A rate that keeps all written values, or is away."""

    def __init__(self) -> None:
        self.written: list[float] = []
        self.is_away = False

    async def write(self, images_per_second: float) -> None:
        if self.is_away:
            raise StoreUnavailableError("redis", "gone")
        self.written.append(images_per_second)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rate() -> Rate:
    return Rate()


@pytest.fixture
def meter(rate: Rate, clock: Clock) -> ThroughputMeter:
    return ThroughputMeter(cast("Throughput", rate), clock)


async def test_images_of_all_requests_count_as_they_come(meter: ThroughputMeter, rate: Rate, clock: Clock) -> None:
    await meter.observe({"a": 10, "b": 0}, {"a", "b"})
    clock.seconds = 10
    await meter.observe({"a": 60, "b": 50}, {"a", "b"})
    assert rate.written == [10]
    clock.seconds = 20
    await meter.observe({"b": 250}, {"b"})  # `a` has ended
    assert rate.written == [10, pytest.approx(13)]


async def test_a_coordinator_that_missed_one_answer_is_not_counted_anew(
    meter: ThroughputMeter, rate: Rate, clock: Clock
) -> None:
    await meter.observe({"a": 300_000}, {"a"})  # first heard of, as after a restart
    await meter.observe({}, {"a"})
    clock.seconds = 10
    await meter.observe({"a": 300_100}, {"a"})
    assert rate.written == [10]


async def test_a_coordinator_that_starts_over_takes_nothing_away(
    meter: ThroughputMeter, rate: Rate, clock: Clock
) -> None:
    await meter.observe({"a": 0}, {"a"})
    await meter.observe({"a": 100}, {"a"})
    clock.seconds = 10
    await meter.observe({"a": 0}, {"a"})
    assert rate.written == [10]


async def test_an_empty_queue_says_nothing(meter: ThroughputMeter, rate: Rate, clock: Clock) -> None:
    clock.seconds = 10
    await meter.observe({}, ())
    assert rate.written == []


async def test_redis_may_be_away(meter: ThroughputMeter, rate: Rate, clock: Clock) -> None:
    await meter.observe({"a": 0}, {"a"})
    rate.is_away = True
    clock.seconds = 10
    await meter.observe({"a": 100}, {"a"})
    rate.is_away = False
    clock.seconds = 20
    await meter.observe({"a": 200}, {"a"})
    assert rate.written == [10]
