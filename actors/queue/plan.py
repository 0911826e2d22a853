"""The decisions of the queue manager in one step: a pure function from the observed state to actions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.queue.fair_queue import choose_preempted, next_in_line
from actors.queue.shares import Claim, divide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from actors.messages import Share
    from cluster.mongo.requests import Candidate, OpenRequest


class Unassign(NamedTuple):
    """Take back the coordinator of a request that is closed."""

    request_id: str
    stands_by: bool  # else its process ends


class Assign(NamedTuple):
    """Find the coordinator of an admitted request again, or give the request another one."""

    request: OpenRequest


class Stop(NamedTuple):
    """Close a request that is to stop and was never admitted."""

    request_id: str


class Admit(NamedTuple):
    """Give a waiting request to a coordinator that stands by."""

    request_id: str


class Preempt(NamedTuple):
    """Let a request wait again, because it is another one's turn."""

    request_id: str


class SetShares(NamedTuple):
    """Tell each coordinator the share of its request."""

    shares: Mapping[str, Share]
    priorities: Mapping[str, int]
    make_room: bool  # batches beyond a share end early


class StartStandby(NamedTuple):
    """Start coordinators that stand by."""

    coordinators: int


class DismissOrphans(NamedTuple):
    """End the coordinators that stood by for an earlier queue manager."""


Action = Unassign | Assign | Stop | Admit | Preempt | SetShares | StartStandby | DismissOrphans


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordinatorState:
    """The coordinators that the queue manager knows."""

    assigned: frozenset[str] = frozenset()  # the requests that have one
    unconfirmed: frozenset[str] = frozenset()  # those of them that their coordinator knows nothing of
    standby: int = 0
    reserved: int = 0  # for a request that is about to be admitted
    starting: int = 0
    may_have_orphans: bool = False  # of an earlier queue manager
    has_new_work: bool = False  # one got its request a moment ago, and may be done before another has started


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """Everything that a plan depends on."""

    now: datetime
    slots: float
    max_active: int  # requests
    max_standby: int  # coordinators
    draining: bool = False
    processing: Sequence[OpenRequest] = ()  # admitted and not closed
    candidates: Sequence[Candidate] = ()  # the oldest waiting request of each owner and priority
    stopping: Sequence[str] = ()  # waiting requests that are to stop
    max_stopping: int = 0
    coordinators: CoordinatorState = CoordinatorState()
    demands: Mapping[str, int]  # slots, by request, of the coordinators that have reported
    seconds_at_work: Mapping[str, float]  # by request, since its work has begun
    shared_before: Mapping[str, int]  # the priorities of the requests that had shares at the last step


def plan(state: QueueState) -> list[Action]:
    """Return the actions of one step, in the order in which they are to be done.

    A plan admits one request at most, and the rest is for the case that the request still waits after that. Otherwise
    another plan follows.
    """
    unassigned = list(_unassignments(state))
    standby = state.coordinators.standby + sum(each.stands_by for each in unassigned)
    actions: list[Action] = [*_stops(state), *unassigned, *_assignments(state)]
    if not state.draining:
        actions += [*_admission(state, standby), *_preemption(state), _shares(state)]
    if state.coordinators.may_have_orphans:
        return [*actions, DismissOrphans()]  # before any other starts, which would look like one of them
    missing = _missing_standby(state, standby, unassigned=len(unassigned))
    return [*actions, StartStandby(missing)] if missing > 0 else actions


def _stops(state: QueueState) -> Iterator[Stop]:
    return map(Stop, state.stopping[: state.max_stopping])


def _unassignments(state: QueueState) -> Iterator[Unassign]:
    known = state.coordinators
    free = state.max_standby - known.standby - known.reserved - known.starting
    closed = known.assigned - {each.request_id for each in state.processing}
    for number, request_id in enumerate(sorted(closed)):
        yield Unassign(request_id, stands_by=number < free)


def _assignments(state: QueueState) -> Iterator[Assign]:
    known = state.coordinators.assigned - state.coordinators.unconfirmed
    unassigned = [each for each in state.processing if each.request_id not in known]
    return map(Assign, unassigned[: state.max_active])  # the next step sees to the rest


def _admission(state: QueueState, standby: int) -> Iterator[Admit]:
    has_place = len(state.processing) < state.max_active and standby > 0
    chosen = _next(state) if has_place else None
    if chosen is not None:
        yield Admit(chosen.request_id)


def _preemption(state: QueueState) -> Iterator[Preempt]:
    is_full = len(state.processing) >= state.max_active
    chosen = _next(state) if is_full and not any(each.frees_place for each in state.processing) else None
    if chosen is not None:
        preempted = choose_preempted(chosen, state.processing, state.seconds_at_work, state.now)
        if preempted is not None:
            yield Preempt(preempted.request_id)


def _next(state: QueueState) -> Candidate | None:
    return next_in_line(state.candidates, Counter(each.owner for each in state.processing), state.now)


def _shares(state: QueueState) -> SetShares:
    claims = {
        each.request_id: Claim(each.priority, state.demands.get(each.request_id, each.images))
        for each in state.processing
    }
    shares = divide(claims, state.slots)
    priorities = {each.request_id: each.priority for each in state.processing}
    # A request is new, or was moved up, and is to run: the others make room now. A change of demand can wait.
    make_room = any(
        priority > state.shared_before.get(each, -1) and shares[each].running for each, priority in priorities.items()
    )
    return SetShares(shares, priorities, make_room)


def _missing_standby(state: QueueState, standby: int, *, unassigned: int) -> int:
    """Return how many coordinators to start: those that always stand by, and one for the next request."""
    known = state.coordinators
    if known.starting:
        return 0
    there = standby + known.reserved + len(known.assigned) - unassigned
    missing = min(state.max_standby, state.max_active) - there
    if missing > 0:
        return missing
    return int(there < state.max_active and not standby and not known.has_new_work)
