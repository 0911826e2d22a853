"""The number of coordinators by the size of the cluster."""

from __future__ import annotations

import pytest

from actors.queue.capacity import Capacity

GIB = 1024**3


@pytest.mark.parametrize(
    ("slots", "memory_bytes", "coordinators"),
    [
        (1, 0, 4),
        (2, 64 * GIB, 8),
        (8, 4 * GIB, 4),
        (8, 20 * GIB, 16),
        (8, 640 * GIB, 32),
        (1_000, 10_000 * GIB, 256),
    ],
    ids=["unknown", "by cores", "the least", "by memory", "by more cores", "the most"],
)
def test_coordinators_follow_cores_and_memory(slots: float, memory_bytes: float, coordinators: int) -> None:
    assert Capacity(slots, memory_bytes).coordinators == coordinators


@pytest.mark.parametrize(("slots", "standby"), [(1, 2), (2.5, 3), (7, 8), (64, 8)])
def test_one_coordinator_for_each_core_and_one_more_stand_by(slots: float, standby: int) -> None:
    assert Capacity(slots, GIB).standby_coordinators == standby
