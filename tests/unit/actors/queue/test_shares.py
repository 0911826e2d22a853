"""How slots are shared."""

from __future__ import annotations

from itertools import pairwise

import pytest

from actors.messages import Share
from actors.queue.shares import Claim, divide, max_min_shares

MANY = 100_000


def share(slots: float, **claims: tuple[int, float]) -> dict[str, float]:
    found = max_min_shares({name: Claim(*claim) for name, claim in claims.items()}, slots)
    return {name: round(value, 6) for name, value in found.items()}


def test_equal_requests_get_equal_shares() -> None:
    assert share(8, a=(5, MANY), b=(5, MANY)) == {"a": 4, "b": 4}


def test_a_priority_more_is_twice_the_share() -> None:
    assert share(6, a=(5, MANY), b=(6, MANY)) == {"a": 2, "b": 4}


def test_the_rest_of_a_share_goes_to_the_others() -> None:
    assert share(8, a=(5, 1), b=(5, MANY), c=(5, MANY)) == {"a": 1, "b": 3.5, "c": 3.5}
    assert share(8, a=(9, 2), b=(0, MANY)) == {"a": 2, "b": 6}


def test_nobody_gets_more_than_it_can_use() -> None:
    assert share(8, a=(5, 1), b=(5, 0)) == {"a": 1, "b": 0}
    assert share(8) == {}


@pytest.mark.parametrize("slots", [1, 2, 7, 64, 1000])
def test_all_task_slots_are_given_while_there_is_demand(slots: int) -> None:
    claims = {str(n): Claim(n % 10, (n * 37) % 50) for n in range(1, 30)}
    found = max_min_shares(claims, slots)
    assert sum(found.values()) == pytest.approx(min(slots, sum(claim.demand for claim in claims.values())))
    assert all(found[name] <= claims[name].demand + 1e-9 for name in claims)


def test_a_higher_weight_never_gets_less() -> None:
    found = max_min_shares({str(priority): Claim(priority, 30) for priority in range(10)}, 64)
    assert all(low <= high for low, high in pairwise(found[str(priority)] for priority in range(10)))


@pytest.mark.parametrize(("slots", "max_batches"), [(0, 0), (0.1, 1), (0.5, 1), (1, 2), (1.5, 3), (8, 16)])
def test_a_share_limits_the_batches(slots: float, max_batches: int) -> None:
    assert Share(slots, 0).max_batches == max_batches


@pytest.mark.parametrize(("requests", "slots"), [(1, 2), (3, 2), (5, 2), (8, 2), (3, 7), (30, 64)])
def test_batches_that_may_run_add_up_to_the_task_slots(requests: int, slots: int) -> None:
    found = divide({str(n): Claim(5, MANY) for n in range(requests)}, slots)
    assert sum(share.running for share in found.values()) == slots


@pytest.mark.parametrize("priorities", [(0, 9, 1), (2, 4, 8, 8, 8, 8), (3, 6, 6, 7, 9, 9)])
def test_the_lowest_priority_sends_less_with_every_rounding(priorities: tuple[int, ...]) -> None:
    for slots in (1, 2, 4):
        found = divide({f"{n} {each}": Claim(each, MANY) for n, each in enumerate(priorities)}, slots)
        assert found[f"0 {priorities[0]}"].time_fraction < 1


def test_one_alone_has_the_whole_cluster() -> None:
    assert divide({"a": Claim(5, MANY)}, 2) == {"a": Share(2, 2, cluster_slots=2)}


def test_more_equal_requests_than_task_slots_take_turns_without_pauses() -> None:
    found = divide({str(n): Claim(5, MANY) for n in range(8)}, 2)
    assert {(share.max_batches, share.time_fraction) for share in found.values()} == {(1, 1)}


def test_a_share_below_one_task_slot_sends_less_while_others_need_it() -> None:
    found = divide({"small": Claim(9, 10), "large": Claim(5, MANY)}, 2)
    assert found["small"].running == 2
    assert (found["large"].running, found["large"].max_batches) == (0, 1)
    assert found["large"].time_fraction == pytest.approx(2 / 17)
    assert found["large"].pause_seconds(1.5) == pytest.approx(1.5 * 7.5)
    assert divide({"small": Claim(9, 0), "large": Claim(5, MANY)}, 2)["large"].running == 2


def test_a_request_without_demand_may_still_send_a_batch() -> None:
    assert divide({"a": Claim(5, 0), "b": Claim(5, MANY)}, 2)["a"].max_batches >= 1
