"""The size of the next batch."""

from __future__ import annotations

import pytest

from actors.messages import BatchReport, Outcome, OutcomeKind
from actors.request.batch_size import BatchSize
from cluster.settings import Settings
from tests.support.batches import batch_of, work_items

SETTINGS = Settings(batch_seconds=1.5, max_batch_images=256)


def learn(
    size: BatchSize,
    images: int,
    seconds: float,
    *,
    idle: float = 0,
    kind: OutcomeKind = OutcomeKind.COMPLETED,
    is_io_bound: bool = False,
) -> None:
    items = work_items(images)
    report = BatchReport(tuple(Outcome(item, kind) for item in items), seconds, idle)
    size.learn(batch_of(items, is_io_bound=is_io_bound), report)


def learnt(times: int, images: int, seconds: float, *, idle: float = 0) -> BatchSize:
    size = BatchSize(SETTINGS)
    for _ in range(times):
        learn(size, images, seconds, idle=idle)
    return size


def test_it_finds_how_many_images_are_a_batch_of_work() -> None:
    assert learnt(30, images=50, seconds=1.25).images == pytest.approx(60, abs=1)
    assert learnt(30, images=2, seconds=10).images == 1
    assert learnt(30, images=64, seconds=0.01).images == 256


def test_batches_grow_when_sources_are_far_away() -> None:
    near, far = learnt(30, images=60, seconds=1.5), learnt(30, images=60, seconds=1.8, idle=0.3)
    assert near.seconds == pytest.approx(1.5)
    assert far.seconds == pytest.approx(0.3 / 0.08, rel=0.01)
    assert learnt(30, images=60, seconds=9, idle=8).seconds == 6


def test_a_batch_that_says_nothing_about_work_is_not_learnt() -> None:
    size = BatchSize(SETTINGS)
    before = size.images
    learn(size, 10, 100, kind=OutcomeKind.RELEASED)
    learn(size, 10, 100, is_io_bound=True)
    assert size.images == before
