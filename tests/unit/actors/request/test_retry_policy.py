"""The next step of an image after its batch, one rule at a time and to the end of a request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from actors.messages import BatchReport, Loss, Outcome, OutcomeKind, WorkItem
from actors.request.image_queue import ImageQueue
from actors.request.retry_policy import Delayed, Next, PausedHost, after_loss, after_report, screen
from cluster.codes import ImageErrorCode
from tests.support.batches import work_item, work_items

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ATTEMPTS = 3
ISOLATED_ATTEMPTS = 5
IMAGES, BATCH_IMAGES = 12, 4
A, B, C, D = work_items(4)


def lost(
    *items: WorkItem, loss: Loss, has_begun: bool = True, is_overdue: bool = False, is_stopped: bool = False
) -> Next:
    return after_loss(
        items,
        loss,
        has_begun=has_begun,
        is_overdue=is_overdue,
        is_stopped=is_stopped,
        max_attempts=MAX_ATTEMPTS,
    )


def reported(*outcomes: Outcome) -> Next:
    return after_report(BatchReport(outcomes))


def codes(step: Next) -> dict[int, ImageErrorCode]:
    return {failed.item.ordinal: failed.error.code for failed in step.failed}


def lost_attempts(item: WorkItem, count: int) -> WorkItem:
    for _ in range(count):
        item = item.after_loss()
    return item


def test_terminal_images_have_no_next_step() -> None:
    assert reported(Outcome(A, OutcomeKind.COMPLETED), Outcome(B, OutcomeKind.FAILED)) == Next()


def test_a_transient_failure_is_followed_by_the_next_attempt_after_a_delay() -> None:
    step = reported(Outcome(A, OutcomeKind.RETRY, 7))
    assert step == Next(delayed=(Delayed(work_item(attempt=2, failures=1), 7),))


def test_an_image_whose_store_was_away_uses_up_no_attempt_and_sending_pauses() -> None:
    assert reported(Outcome(A, OutcomeKind.STORE_AWAY)) == Next(put_back=(A,), backs_off=True)


def test_a_released_image_is_next_and_uses_up_no_attempt() -> None:
    assert reported(Outcome(A, OutcomeKind.RELEASED)) == Next(put_back=(A,))


def test_a_released_image_may_ask_for_a_pause_of_its_host() -> None:
    step = reported(Outcome(A, OutcomeKind.RELEASED, 30), Outcome(B, OutcomeKind.RELEASED))
    assert step == Next(put_back=(A, B), paused_hosts=(PausedHost(A.url, 30),))


@pytest.mark.parametrize("loss", [Loss.CRASHED, Loss.OUT_OF_MEMORY])
def test_a_batch_whose_worker_died_is_halved(loss: Loss) -> None:
    halved = lost(A, B, C, D, loss=loss)
    assert halved == Next(put_back=tuple(each.in_batch_of(2) for each in (A, B, C, D)))
    assert lost(A, B, C, loss=loss).put_back[0].batch_limit == 1


def test_a_lone_image_whose_worker_died_has_its_usual_attempts() -> None:
    item = A
    for _ in range(MAX_ATTEMPTS - 1):
        (item,) = lost(item, loss=Loss.CRASHED).put_back
        assert item.batch_limit == 1
    assert (item.attempt, item.failures) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)
    assert codes(lost(item, loss=Loss.CRASHED)) == {A.ordinal: ImageErrorCode.DECODER_CRASHED}
    assert codes(lost(item, loss=Loss.OUT_OF_MEMORY)) == {A.ordinal: ImageErrorCode.OUT_OF_MEMORY}


def test_a_node_that_is_short_of_memory_has_time_to_recover() -> None:
    assert lost(A, loss=Loss.OUT_OF_MEMORY).backs_off
    assert not lost(A, loss=Loss.CRASHED).backs_off


def test_a_worker_that_cannot_start_uses_up_no_attempt() -> None:
    assert lost(A, B, loss=Loss.OTHER, has_begun=False) == Next(put_back=(A, B), backs_off=True)


def test_a_batch_whose_node_is_gone_has_used_up_attempts_without_a_known_end() -> None:
    step = lost(A, B, loss=Loss.OTHER)
    assert step == Next(put_back=(A.after_loss(), B.after_loss()), backs_off=True)
    assert [(each.attempt, each.failures, each.lost_attempts) for each in step.put_back] == [(2, 0, 1)] * 2


@pytest.mark.parametrize("loss", Loss)
def test_a_batch_whose_worker_we_ended_for_the_request_to_stop_has_no_next_step(loss: Loss) -> None:
    assert lost(A, loss=loss, is_stopped=True) == Next()


@pytest.mark.parametrize("loss", Loss)
def test_a_batch_that_took_too_long_is_halved_and_its_last_image_times_out(loss: Loss) -> None:
    last = work_item(attempt=MAX_ATTEMPTS, failures=MAX_ATTEMPTS - 1)
    for is_stopped in (False, True):
        halved = lost(A, B, loss=loss, is_overdue=True, is_stopped=is_stopped)
        assert halved == Next(put_back=(A.in_batch_of(1), B.in_batch_of(1)))
        assert codes(lost(last, loss=loss, is_overdue=True, is_stopped=is_stopped)) == {0: ImageErrorCode.TIMEOUT}


def test_images_without_lost_attempts_are_sent_as_they_are() -> None:
    items = (A, work_item(3, attempt=9, failures=8), lost_attempts(C, MAX_ATTEMPTS - 1))
    assert screen(items, max_attempts=MAX_ATTEMPTS) == (items, Next())


def test_a_suspect_is_sent_alone() -> None:
    suspect = lost_attempts(B, MAX_ATTEMPTS)
    to_send, step = screen((A, suspect, C), max_attempts=MAX_ATTEMPTS)
    assert to_send == (A, C)
    assert step == Next(put_back=(suspect.in_batch_of(1),))
    alone = step.put_back
    assert screen(alone, max_attempts=MAX_ATTEMPTS) == (alone, Next())


def test_a_suspect_whose_isolated_attempts_are_lost_too_fails() -> None:
    last = lost_attempts(A, MAX_ATTEMPTS + ISOLATED_ATTEMPTS - 1).in_batch_of(1)
    assert screen((last,), max_attempts=MAX_ATTEMPTS).to_send == (last,)
    to_send, step = screen((last.after_loss(), B), max_attempts=MAX_ATTEMPTS)
    assert to_send == (B,)
    assert codes(step) == {A.ordinal: ImageErrorCode.DECODER_CRASHED}


class Simulation:
    """A request whose batches end as the test says. The rules and the queue are those of a coordinator."""

    def __init__(self) -> None:
        self.queue = ImageQueue(lambda: 0)
        self.queue.add(work_items(IMAGES))
        self.sent: list[tuple[WorkItem, ...]] = []
        self.completed: Counter[int] = Counter()
        self.failed: dict[int, ImageErrorCode] = {}

    def run(self, end: Callable[[tuple[WorkItem, ...]], Next | None]) -> None:
        """Send batches until no image is left. `end` returns None for a batch that is completed."""
        while self.queue:
            taken = self.queue.take(BATCH_IMAGES) or self.queue.take_io_bound(BATCH_IMAGES)
            to_send, step = screen(taken, max_attempts=MAX_ATTEMPTS)
            self.apply(step)
            if not to_send:
                continue
            self.sent.append(to_send)
            next_step = end(to_send)
            if next_step is None:
                self.completed.update(item.ordinal for item in to_send)
            else:
                self.apply(next_step)

    def apply(self, step: Next) -> None:
        self.failed |= codes(step)
        self.queue.apply(step)

    def sizes_with(self, ordinal: int) -> list[int]:
        """The sizes of the batches that had an image."""
        return [len(items) for items in self.sent if ordinal in {item.ordinal for item in items}]


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


def has_guilty(items: tuple[WorkItem, ...]) -> bool:
    return any(item.ordinal == GUILTY for item in items)


GUILTY = 2
ALL_OTHERS = {ordinal: 1 for ordinal in range(IMAGES) if ordinal != GUILTY}


def test_an_image_that_crashes_its_workers_ends_only_a_few_and_fails_alone(simulation: Simulation) -> None:
    simulation.run(lambda items: lost(*items, loss=Loss.CRASHED) if has_guilty(items) else None)
    assert simulation.failed == {GUILTY: ImageErrorCode.DECODER_CRASHED}
    assert simulation.completed == ALL_OTHERS
    assert simulation.sizes_with(GUILTY) == [4, 2, *[1] * MAX_ATTEMPTS]


def test_an_image_that_keeps_its_workers_from_going_on_times_out_alone(simulation: Simulation) -> None:
    simulation.run(lambda items: lost(*items, loss=Loss.OTHER, is_overdue=True) if has_guilty(items) else None)
    assert simulation.failed == {GUILTY: ImageErrorCode.TIMEOUT}
    assert simulation.completed == ALL_OTHERS
    assert simulation.sizes_with(GUILTY) == [4, 2, *[1] * MAX_ATTEMPTS]


def test_io_bound_images_are_halved_too_and_stay_io_bound(simulation: Simulation) -> None:
    waited: list[int] = []

    def end(items: tuple[WorkItem, ...]) -> Next | None:
        if not items[0].is_io_bound:
            slow = work_items(IMAGES, is_io_bound=True)
            return reported(*(Outcome(slow[item.ordinal], OutcomeKind.RELEASED) for item in items))
        if has_guilty(items):
            waited.append(len(items))
            return lost(*items, loss=Loss.CRASHED)
        return None

    simulation.run(end)
    assert simulation.failed == {GUILTY: ImageErrorCode.DECODER_CRASHED}
    assert simulation.completed == ALL_OTHERS
    assert waited == [4, 2, *[1] * MAX_ATTEMPTS]


def test_an_image_that_takes_its_nodes_with_it_comes_to_an_end_and_its_neighbours_do_not(
    simulation: Simulation,
) -> None:
    simulation.run(lambda items: lost(*items, loss=Loss.OTHER) if has_guilty(items) else None)
    assert simulation.failed == {GUILTY: ImageErrorCode.DECODER_CRASHED}
    assert simulation.completed == ALL_OTHERS
    assert simulation.sizes_with(GUILTY) == [*[4] * MAX_ATTEMPTS, *[1] * ISOLATED_ATTEMPTS]
