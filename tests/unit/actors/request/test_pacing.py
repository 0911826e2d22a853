"""When the next batch of a request is sent, and how large it is."""

from __future__ import annotations

import pytest

from actors.messages import NO_SHARE, BatchReport, Outcome, OutcomeKind, Share
from actors.request.batch_size import BatchSize
from actors.request.pacing import Pacing
from cluster.settings import Settings
from tests.support.batches import batch_of, work_items

ONE_BATCH, FOUR_BATCHES = Share(0.5, 1), Share(2, 2)
LITTLE = Share(0.01, 0, time_fraction=0.01)
BATCH_SECONDS = 1.5


def pacing_with(share: Share) -> Pacing:
    pacing = Pacing(BatchSize(Settings(batch_seconds=BATCH_SECONDS, max_batch_images=4)))
    pacing.change_share(share)
    return pacing


def learn(pacing: Pacing, kind: OutcomeKind, seconds: float, *, now: float, is_io_bound: bool = False) -> None:
    items = work_items(4)
    report = BatchReport(tuple(Outcome(item, kind) for item in items), seconds)
    pacing.learn(batch_of(items, is_io_bound=is_io_bound), report, now)


def test_without_a_share_nothing_is_sent() -> None:
    pacing = pacing_with(NO_SHARE)
    assert not pacing.may_send(0, now=0)
    assert pacing.images_to_read == 0
    assert pacing.seconds_to_next(0, now=0, next_image=0) is None


def test_batches_are_sent_until_the_share_is_full() -> None:
    pacing = pacing_with(FOUR_BATCHES)
    assert [pacing.may_send(batches, now=0) for batches in (0, 3, 4)] == [True, True, False]
    assert pacing.images_to_read == 16


def test_an_image_that_is_due_wakes_no_request_whose_share_is_full() -> None:
    pacing = pacing_with(ONE_BATCH)
    assert pacing.seconds_to_next(1, now=0, next_image=0) is None
    assert pacing.seconds_to_next(0, now=0, next_image=3) == 3
    assert pacing.seconds_to_next(0, now=0, next_image=None) is None


def test_a_request_with_part_of_the_time_pauses_after_a_batch() -> None:
    pacing = pacing_with(Share(0.5, 1, time_fraction=0.25))
    learn(pacing, OutcomeKind.COMPLETED, 1, now=10)
    assert not pacing.may_send(0, now=12.9)
    assert pacing.seconds_to_next(0, now=12, next_image=None) == 1
    assert pacing.may_send(0, now=13)


@pytest.mark.parametrize("seconds", [BATCH_SECONDS, 60])
def test_a_batch_that_took_long_counts_no_more_than_a_usual_one(seconds: float) -> None:
    pacing = pacing_with(Share(0.5, 1, time_fraction=0.5))
    learn(pacing, OutcomeKind.RELEASED, seconds, now=0)
    assert not pacing.may_send(0, now=BATCH_SECONDS - 0.1)
    assert pacing.may_send(0, now=BATCH_SECONDS)


def test_a_batch_that_did_nothing_does_not_shorten_the_pause() -> None:
    pacing = pacing_with(LITTLE)
    learn(pacing, OutcomeKind.COMPLETED, 0.1, now=0)
    learn(pacing, OutcomeKind.RELEASED, 0, now=1)
    assert not pacing.may_send(0, now=4)


def test_a_batch_that_waits_for_its_sources_takes_no_time_from_others() -> None:
    pacing = pacing_with(LITTLE)
    learn(pacing, OutcomeKind.COMPLETED, 60, now=0, is_io_bound=True)
    assert pacing.may_send(0, now=0)


def test_more_of_the_time_ends_the_pause() -> None:
    pacing = pacing_with(LITTLE)
    learn(pacing, OutcomeKind.COMPLETED, 1, now=0)
    pacing.change_share(FOUR_BATCHES)
    assert pacing.may_send(0, now=0)


def test_others_send_first_after_room_was_made() -> None:
    pacing = pacing_with(FOUR_BATCHES)
    pacing.let_others_send(now=0)
    assert not pacing.may_send(0, now=0.1)
    assert pacing.may_send(0, now=0.5)


def test_a_share_after_none_may_be_used_at_once() -> None:
    pacing = pacing_with(NO_SHARE)
    pacing.let_others_send(now=0)
    pacing.change_share(FOUR_BATCHES)
    assert pacing.may_send(0, now=0)


@pytest.mark.parametrize(("ready", "images"), [(100, 4), (7, 4), (5, 3), (2, 1), (1, 1), (0, 0)])
def test_the_last_images_are_spread_over_the_task_slots(ready: int, images: int) -> None:
    assert pacing_with(FOUR_BATCHES).next_images(ready) == images
