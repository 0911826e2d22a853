"""The decisions of one step of the queue manager."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.queue.fair_queue import TURN_SECONDS
from actors.queue.plan import (
    Action,
    Admit,
    Assign,
    CoordinatorState,
    DismissOrphans,
    Preempt,
    QueueState,
    SetShares,
    StartStandby,
    Stop,
    Unassign,
    plan,
)
from cluster.mongo.requests import Candidate, OpenRequest

NOW = datetime(2026, 11, 30, tzinfo=UTC)
EMPTY = QueueState(now=NOW, slots=2, max_active=4, max_standby=3, demands={}, seconds_at_work={}, shared_before={})
ONE_STANDS_BY = CoordinatorState(standby=1)
ALL_STAND_BY = CoordinatorState(standby=3)


def candidate(name: str, *, owner: str = "key", priority: int = 5, waits_seconds: float = 1) -> Candidate:
    return Candidate(name, owner, priority, NOW - timedelta(seconds=waits_seconds))


def request(
    name: str, *, owner: str = "key", priority: int = 5, images: int = 10, leaving: bool = False
) -> OpenRequest:
    return OpenRequest(name, owner, priority, images, f"coordinator-{name}", NOW, NOW, leaving)


def assigned(*names: str, standby: int = 0) -> CoordinatorState:
    return CoordinatorState(assigned=frozenset(names), standby=standby)


def at_work(*requests: OpenRequest, standby: int = 0, **more: object) -> QueueState:
    """Each of these requests has its coordinator."""
    coordinators = assigned(*(each.request_id for each in requests), standby=standby)
    return replace(EMPTY, processing=requests, coordinators=coordinators, **more)  # type: ignore[arg-type] # of QueueState


def of(kind: type, actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def shares(state: QueueState) -> SetShares:
    (action,) = of(SetShares, plan(state))
    assert isinstance(action, SetShares)
    return action


def test_an_idle_queue_keeps_its_coordinators() -> None:
    assert plan(replace(EMPTY, coordinators=ALL_STAND_BY)) == [SetShares({}, {}, make_room=False)]


def test_a_waiting_request_is_admitted_by_a_coordinator_that_stands_by() -> None:
    state = replace(EMPTY, candidates=[candidate("a")], coordinators=ALL_STAND_BY)
    assert of(Admit, plan(state)) == [Admit("a")]


def test_one_request_is_admitted_at_a_time_and_shares_follow_the_last_one() -> None:
    state = replace(EMPTY, candidates=[candidate("a"), candidate("b", owner="other")], coordinators=ALL_STAND_BY)
    assert of(Admit, plan(state)) == [Admit("a")]
    state = at_work(request("a"), standby=2, candidates=[candidate("b", owner="other")])
    assert of(Admit, plan(state)) == [Admit("b")]
    state = at_work(request("a"), request("b", owner="other"), standby=1)
    (action,) = plan(state)
    assert isinstance(action, SetShares)


def test_shares_are_set_although_an_admission_fails() -> None:
    state = at_work(request("a"), standby=2, candidates=[candidate("b", owner="other")])
    without_admission = plan(replace(state, candidates=[]))
    assert shares(state).shares.keys() == {"a"}
    assert plan(state) == [Admit("b"), *without_admission]


def test_without_a_coordinator_that_stands_by_none_is_admitted_and_one_is_started() -> None:
    state = at_work(*(request(name) for name in "abc"), candidates=[candidate("d")])
    actions = plan(state)
    assert of(Admit, actions) == []
    assert of(StartStandby, actions) == [StartStandby(1)]


def test_the_coordinator_of_a_closed_request_takes_the_next_one_in_the_same_step() -> None:
    coordinators = CoordinatorState(assigned=frozenset({"closed"}), standby=0, reserved=2)
    state = replace(EMPTY, candidates=[candidate("next")], coordinators=coordinators)
    assert plan(state)[:2] == [Unassign("closed", stands_by=True), Admit("next")]


def test_coordinators_beyond_those_that_stand_by_end() -> None:
    state = replace(EMPTY, coordinators=assigned("a", "b", "c", standby=1))
    assert of(Unassign, plan(state)) == [
        Unassign("a", stands_by=True),
        Unassign("b", stands_by=True),
        Unassign("c", stands_by=False),
    ]


@pytest.mark.parametrize(("starting", "missing"), [(0, [StartStandby(3)]), (2, [])])
def test_as_many_as_stand_by_are_started_once(starting: int, missing: list[Action]) -> None:
    state = replace(EMPTY, coordinators=CoordinatorState(starting=starting))
    assert of(StartStandby, plan(state)) == missing


def test_no_coordinator_is_started_while_one_may_be_free_soon() -> None:
    state = at_work(*(request(name) for name in "abc"))
    soon = replace(state, coordinators=replace(state.coordinators, has_new_work=True))
    assert of(StartStandby, plan(state)) == [StartStandby(1)]
    assert of(StartStandby, plan(soon)) == []


def test_no_more_coordinators_are_started_than_requests_may_be_at_work() -> None:
    assert of(StartStandby, plan(at_work(*(request(name) for name in "abcd")))) == []
    assert of(StartStandby, plan(replace(EMPTY, max_active=2))) == [StartStandby(2)]


def test_orphans_are_dismissed_before_any_coordinator_is_started() -> None:
    state = replace(EMPTY, coordinators=CoordinatorState(may_have_orphans=True))
    actions = plan(state)
    assert actions[-1] == DismissOrphans()
    assert of(StartStandby, actions) == []


def test_a_request_without_a_coordinator_is_assigned_again() -> None:
    lost, unsure, fine = request("lost"), request("unsure"), request("fine")
    known = CoordinatorState(assigned=frozenset({"unsure", "fine"}), unconfirmed=frozenset({"unsure"}), standby=1)
    state = replace(EMPTY, processing=[lost, unsure, fine], coordinators=known)
    assert of(Assign, plan(state)) == [Assign(lost), Assign(unsure)]


def test_a_step_assigns_no_more_requests_than_may_be_at_work() -> None:
    requests = [request(str(number)) for number in range(9)]
    assert len(of(Assign, plan(replace(EMPTY, processing=requests)))) == EMPTY.max_active


def test_waiting_requests_that_are_to_stop_are_closed_some_at_a_time() -> None:
    state = replace(EMPTY, stopping=["a", "b", "c"], max_stopping=2)
    assert of(Stop, plan(state)) == [Stop("a"), Stop("b")]


def test_nothing_is_admitted_preempted_or_shared_while_draining() -> None:
    full = [request(name, priority=0) for name in "abcd"]
    waiting = [candidate("urgent", priority=9)]
    state = at_work(*full, standby=1, candidates=waiting, draining=True, seconds_at_work=dict.fromkeys("abcd", 9e9))
    assert plan(state) == []
    state = replace(EMPTY, candidates=waiting, coordinators=ALL_STAND_BY, draining=True)
    assert plan(state) == []


def test_a_request_of_lower_priority_is_preempted_when_all_places_are_taken() -> None:
    full = [request("low", priority=1), *(request(name) for name in "abc")]
    seconds = {each.request_id: 60.0 for each in full}
    state = at_work(*full, candidates=[candidate("urgent", priority=9)], seconds_at_work=seconds)
    assert of(Preempt, plan(state)) == [Preempt("low")]
    assert of(Preempt, plan(replace(state, max_active=5))) == []


def test_only_one_request_is_preempted_at_a_time() -> None:
    full = [request("leaving", leaving=True), *(request(name) for name in "abc")]
    seconds = {each.request_id: 2.0 * TURN_SECONDS for each in full}
    state = at_work(*full, candidates=[candidate("next", priority=9)], seconds_at_work=seconds)
    assert of(Preempt, plan(state)) == []


def test_a_request_whose_work_has_not_begun_is_not_preempted() -> None:
    state = at_work(*(request(name) for name in "abcd"), candidates=[candidate("urgent", priority=9)])
    assert of(Preempt, plan(state)) == []


def test_task_slots_are_shared_by_weight_and_by_demand() -> None:
    action = shares(at_work(request("a", images=100), request("b", images=100), standby=1))
    assert {each: share.slots for each, share in action.shares.items()} == {"a": 1, "b": 1}
    action = shares(at_work(request("a", images=100), request("b", images=100), standby=1, demands={"a": 0}))
    assert action.shares["b"].slots == 2
    action = shares(at_work(request("a", images=100), request("b", images=100, priority=6), standby=1))
    assert action.shares["b"].slots == pytest.approx(2 * action.shares["a"].slots)


def test_others_make_room_only_for_a_request_that_is_new_or_was_moved_up() -> None:
    state = at_work(request("a"), request("b"), standby=1, shared_before={"a": 5, "b": 5})
    assert not shares(state).make_room
    assert shares(replace(state, shared_before={"a": 5})).make_room
    assert shares(replace(state, shared_before={"a": 5, "b": 4})).make_room
    assert not shares(replace(state, shared_before={"a": 5, "b": 6})).make_room
    assert shares(state).priorities == {"a": 5, "b": 5}
