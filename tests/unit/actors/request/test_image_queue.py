"""The order in which the images of a request may be done."""

from __future__ import annotations

import pytest

from actors.request.image_queue import ImageQueue
from actors.request.retry_policy import Delayed, Next, PausedHost
from tests.support.batches import work_item, work_items
from tests.support.clock import Clock

PAUSE_SECONDS = 300.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> ImageQueue:
    return ImageQueue(clock)


def test_images_that_are_put_back_come_first_in_their_order(queue: ImageQueue) -> None:
    first, second, third = work_items(3)
    queue.add([third])
    queue.put_back([first, second])
    assert queue.take(10) == (first, second, third)
    assert not queue


def test_io_bound_images_have_a_queue_of_their_own(queue: ImageQueue) -> None:
    usual, waits = work_item(2), work_item(3, is_io_bound=True)
    queue.apply(Next(put_back=(waits, usual)))
    assert (queue.ready, queue.ready_io_bound) == (1, 1)
    assert queue.take(10) == (usual,)
    assert queue.take_io_bound(10) == (waits,)


def test_a_delayed_image_is_due_after_its_delay(queue: ImageQueue, clock: Clock) -> None:
    item, sooner = work_items(2)
    queue.apply(Next(delayed=(Delayed(item, 7), Delayed(sooner, 5))))
    assert (queue.ready, queue.seconds_to_next) == (0, 5)
    clock.seconds = 7
    assert queue.take(10) == (sooner, item)
    assert queue.seconds_to_next is None


def test_images_of_a_paused_host_wait_and_others_do_not(queue: ImageQueue, clock: Clock) -> None:
    paused, other = work_item(2), work_item(3, url="https://other.example/3.jpg")
    queue.add([paused, other])
    queue.apply(Next(paused_hosts=(PausedHost(paused.url, PAUSE_SECONDS),)))
    assert queue.take(10) == (other,)
    assert queue.seconds_to_next == PAUSE_SECONDS
    clock.seconds = PAUSE_SECONDS + 1
    assert queue.take(10) == (paused,)


def test_images_with_a_limit_are_in_no_larger_batch_and_keep_it_while_their_host_is_paused(clock: Clock) -> None:
    queue = ImageQueue(clock, max_waiting=2)
    limited, fresh = [each.in_batch_of(2) for each in work_items(4)], [work_item(row) for row in range(6, 20)]
    queue.add(fresh)
    queue.put_back(limited)
    first = queue.take(10)
    assert first == tuple(limited[:2])
    queue.apply(Next(put_back=first, paused_hosts=(PausedHost(first[0].url, PAUSE_SECONDS),)))
    assert queue.take(10) == ()
    clock.seconds = PAUSE_SECONDS + 1
    assert [queue.take(10), queue.take(10)] == [tuple(limited[:2]), tuple(limited[2:])]
    assert len(queue.passed_over) == len(fresh)  # no room was left for them to wait


def test_new_images_are_read_only_while_few_wait(clock: Clock) -> None:
    queue = ImageQueue(clock, max_waiting=2)
    assert queue.has_room
    queue.apply(Next(delayed=tuple(Delayed(each, 5) for each in work_items(2))))
    assert not queue.has_room
    assert queue
