"""How large the next batch is."""

from __future__ import annotations

import pytest

from actors.messages import Batch, BatchReport, Outcome, OutcomeKind, WorkItem
from actors.request.batch_size import BatchSize
from cluster.options import ImageOptions
from cluster.settings import Settings

SETTINGS = Settings(batch_seconds=1.5, max_batch_images=256)


def learn(
    size: BatchSize,
    images: int,
    seconds: float,
    *,
    idle: float = 0,
    fate: OutcomeKind = OutcomeKind.COMPLETED,
    slow: bool = False,
) -> None:
    items = tuple(
        WorkItem(row=n, index=0, ordinal=n, url="https://shop.example/a.jpg", attempt=1) for n in range(images)
    )
    batch = Batch("req_1", "key", 1, 1, ImageOptions(), items, is_slow=slow)
    size.learn(batch, BatchReport(tuple(Outcome(item, fate) for item in items), seconds, idle))


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


def test_what_says_nothing_about_work_is_not_learnt() -> None:
    size = BatchSize(SETTINGS)
    before = size.images
    learn(size, 10, 100, fate=OutcomeKind.RELEASED)
    learn(size, 10, 100, slow=True)
    assert size.images == before
