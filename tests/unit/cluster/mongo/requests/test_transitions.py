"""The transitions do what the table of the state machine says."""

from __future__ import annotations

import ast
import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cluster.codes import ImageErrorCode
from cluster.mongo import requests
from cluster.mongo.requests import transitions
from cluster.mongo.requests.transitions import Transition
from cluster.records import ByteCounts, Counts, DeliveryState, FailureCount, ProcessingRequest, Reason, Status
from tests.support.requests import due_delivery, new_request

if TYPE_CHECKING:
    from cluster.mongo.connection import Document

PACKAGE = Path(requests.__path__[0])
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
REQUEST, EPOCH = "req_1", 7

OPENED = new_request(
    request_id=REQUEST, epoch=EPOCH, webhook={"url": "https://shop.example/hook", "secret": "encrypted"}
)
CLOSED = OPENED.model_copy(
    update={
        "status": Status.COMPLETED,
        "completed_at": EARLIER,
        "deadline_seconds": 60.0,
        "counts": Counts(images=9, completed=4, failed=5),
        "failures": [
            FailureCount(code=ImageErrorCode.TIMEOUT, count=3, sample_url="https://shop.example/a.jpg"),
            FailureCount(code=ImageErrorCode.NOT_FOUND, count=2, sample_url="https://shop.example/b.jpg"),
        ],
    }
)
DELIVERY = due_delivery(CLOSED)

MADE: dict[str, Transition | Document] = {
    "commit": transitions.commit(OPENED),
    "cancel": transitions.cancel(REQUEST),
    "pause": transitions.pause(REQUEST, now=NOW),
    "resume": transitions.resume(REQUEST, now=NOW),
    "set_priority": transitions.set_priority(REQUEST, 9),
    "retry": transitions.retry(CLOSED, [ImageErrorCode.TIMEOUT], now=NOW),
    "delete": transitions.delete(REQUEST, now=NOW),
    "admit": transitions.admit(REQUEST, "coordinator", now=NOW),
    "assign": transitions.assign(REQUEST, "coordinator"),
    "preempt": transitions.preempt(REQUEST),
    "stop_overdue": transitions.stop_overdue(now=NOW),
    "claim_stopping": transitions.claim_stopping(REQUEST),
    "claim": transitions.claim(REQUEST),
    "finish_reopening": transitions.finish_reopening(REQUEST, EPOCH),
    "keep_counts": transitions.keep_counts(REQUEST, EPOCH, Counts(completed=1), ByteCounts(in_=2)),
    "requeue": transitions.requeue(REQUEST, EPOCH, Counts(completed=1), ByteCounts(in_=2), now=NOW),
    "close": transitions.close(CLOSED),
    "count_webhook_attempt": transitions.count_webhook_attempt(DELIVERY, DeliveryState.PENDING),
    "forget": transitions.forget(REQUEST),
}
OF_ANY_REQUEST = {"stop_overdue"}
STATES: dict[str, Document] = {
    "pending": {"status": Status.PENDING},
    "processing": {"status": Status.PROCESSING},
    "open": {"status": {"$in": [Status.PENDING, Status.PROCESSING]}},
    "ended": {"status": {"$in": [Status.COMPLETED, Status.FAILED]}, "deletedAt": None},
    "terminal": {"status": {"$in": [Status.COMPLETED, Status.FAILED]}},
    "deleted": {"deletedAt": {"$type": "date"}},
}
STATUSES_WRITTEN: dict[str, list[Status | None]] = {
    "=": [None],
    "deleted": [None],
    "pending": [Status.PENDING],
    "processing": [Status.PROCESSING],
    "ended": [Status.COMPLETED, Status.FAILED],
}
GUARDS: dict[str, Document] = {
    "not deleted": {"deletedAt": None},
    "the end that the client saw": {"completedAt": CLOSED.completed_at},
    "the end that the webhook tells": {"completedAt": DELIVERY.created_at},
    "not paused": {"paused": False},
    "stopping": {"stopping": {"$ne": None}},
    "not stopping": {"stopping": None},
    "past its deadline": {"deadlineAt": {"$lte": NOW}},
    "same epoch": {"epoch": EPOCH},
    "not retrying": {"retrying": None},
    "asked to wait": {"$or": [{"paused": True}, {"yielding": True}]},
}
WRITERS = {
    "client": {"request_store", "control"},
    "queue manager": {"lease"},
    "coordinator": {"claims"},
    "coordinator, API": {"request_store"},
    "webhook sender": {"webhook_attempts"},
    "sweeper": {"request_store"},
}


class Event(NamedTuple):
    """One row of the table."""

    name: str
    source: str
    target: str
    epoch: str
    guard: str
    writer: str


def table() -> list[Event]:
    lines = [line for line in (requests.__doc__ or "").splitlines() if line.count("│") == len(Event._fields)]
    rows = [Event(*(cell.strip() for cell in line[1:].split("│"))) for line in lines]
    assert rows[0].name == "event"
    return rows[1:]


EVENTS = {event.name: event for event in table()}
UPDATES = {name: made for name, made in MADE.items() if isinstance(made, Transition)}


def written(change: Document | list[Document]) -> Document:
    """The fields that an update sets."""
    fields: Document = (change[0] if isinstance(change, list) else change).get("$set", {})
    return fields


def calls(path: Path) -> set[str]:
    """The transitions that a module makes."""
    return {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "transitions"
    }


def test_the_table_has_every_transition() -> None:
    functions = {name for name, each in inspect.getmembers(transitions, inspect.isfunction) if name[0] != "_"}
    own = {name for name in functions if inspect.getmodule(getattr(transitions, name)) is transitions}
    assert EVENTS.keys() == own - {"claimed"} == MADE.keys()


@pytest.mark.parametrize("name", UPDATES)
def test_a_guard_is_the_one_of_the_table(name: str) -> None:
    event = EVENTS[name]
    expected = {} if name in OF_ANY_REQUEST else {"requestId": REQUEST}
    expected |= STATES[event.source]
    for each in filter(None, event.guard.split(", ")):
        expected |= GUARDS[each]
    assert UPDATES[name].guard == expected


@pytest.mark.parametrize("name", UPDATES)
def test_a_transition_leads_to_the_state_of_the_table(name: str) -> None:
    event, change = EVENTS[name], UPDATES[name].change
    fields = written(change)
    assert fields.get("status") in STATUSES_WRITTEN[event.target]
    assert ("deletedAt" in fields) == (event.target == "deleted")
    increments = {} if isinstance(change, list) else change.get("$inc", {})
    assert increments.get("epoch") == (1 if event.epoch == "+1" else None)


def test_a_request_begins_pending_and_is_removed_only_when_it_is_deleted() -> None:
    assert (EVENTS["commit"].source, EVENTS["commit"].target) == ("none", "pending")
    assert transitions.commit(OPENED)["status"] == STATES["pending"]["status"]
    assert (EVENTS["forget"].source, EVENTS["forget"].target) == ("deleted", "none")
    assert transitions.forget(REQUEST) == {"requestId": REQUEST} | STATES["deleted"]


@pytest.mark.parametrize("name", MADE)
def test_an_event_has_one_writer(name: str) -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py") if name in calls(path)}
    assert len(modules) == 1
    assert modules <= WRITERS[EVENTS[name].writer]


def test_a_second_pause_does_not_move_a_request_back_in_the_queue() -> None:
    for paused, transition in ((True, transitions.pause), (False, transitions.resume)):
        queued_at = {"$cond": [{"$eq": ["$paused", paused]}, "$queuedAt", NOW]}
        assert written(transition(REQUEST, now=NOW).change) == {"queuedAt": queued_at, "paused": paused}


def test_a_cancel_keeps_the_reason_that_came_first() -> None:
    assert written(transitions.cancel(REQUEST).change) == {"stopping": {"$ifNull": ["$stopping", Reason.CANCELLED]}}


def test_an_admission_keeps_the_first_start() -> None:
    fields = written(transitions.admit(REQUEST, "coordinator", now=NOW).change)
    assert fields["startedAt"] == {"$ifNull": ["$startedAt", NOW]}
    assert (fields["admittedAt"], fields["coordinator"], fields["yielding"]) == (NOW, "coordinator", False)


def test_a_retry_takes_back_the_failures_with_its_codes_alone() -> None:
    fields = written(transitions.retry(CLOSED, [ImageErrorCode.TIMEOUT], now=NOW).change)
    assert fields["counts.failed"] == 2
    assert [each["code"] for each in fields["failures"]] == [ImageErrorCode.NOT_FOUND]
    assert fields["retrying"] == [ImageErrorCode.TIMEOUT]
    assert (fields["queuedAt"], fields["deadlineAt"]) == (NOW, NOW + timedelta(seconds=60))
    assert (fields["webhook.triggered"], fields["webhook.attempts"]) == (False, 0)
    without = CLOSED.model_copy(update={"webhook": None, "deadline_seconds": None})
    fields = written(transitions.retry(without, [ImageErrorCode.TIMEOUT], now=NOW).change)
    assert fields["deadlineAt"] is None
    assert not [name for name in fields if name.startswith("webhook")]


def test_counts_that_are_kept_are_never_lowered() -> None:
    change = transitions.keep_counts(REQUEST, EPOCH, Counts(completed=1, failed=2), ByteCounts(in_=3, out=4)).change
    assert change == {"$max": {"counts.completed": 1, "counts.failed": 2, "bytes.in": 3, "bytes.out": 4}}


def test_a_close_writes_the_end_alone() -> None:
    fields = written(transitions.close(CLOSED).change)
    assert fields.keys() == {"status", "reason", "completedAt", "counts", "bytes", "failures"}


def test_a_webhook_is_triggered_when_an_endpoint_has_accepted_it() -> None:
    accepted = transitions.count_webhook_attempt(DELIVERY, DeliveryState.DELIVERED).change
    assert accepted == {"$inc": {"webhook.attempts": 1}, "$set": {"webhook.triggered": True}}
    for state in (DeliveryState.PENDING, DeliveryState.FAILED):
        assert transitions.count_webhook_attempt(DELIVERY, state).change == {"$inc": {"webhook.attempts": 1}}


def test_the_stored_name_of_preempted_is_yielding() -> None:
    assert OPENED.model_copy(update={"preempted": True}).document()["yielding"] is True
    assert "preempted" not in OPENED.document()
    assert ProcessingRequest.model_validate(OPENED.document() | {"yielding": True}).preempted
    assert written(transitions.preempt(REQUEST).change) == {"yielding": True}
