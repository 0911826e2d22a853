"""The events of a request as pure functions. Each returns the guard and the change for one event of the table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cluster.records import DeliveryState, Reason, Status

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from cluster.codes import ImageErrorCode
    from cluster.mongo.connection import Document
    from cluster.records import ByteCounts, Counts, Delivery, ProcessingRequest

OPEN = [status for status in Status if not status.terminal]
ENDED = [status for status in Status if status.terminal]
WAITING: Document = {"status": Status.PENDING, "paused": False, "stopping": None}
STOPPING: Document = {"status": Status.PENDING, "stopping": {"$ne": None}}
DELETED: Document = {"deletedAt": {"$type": "date"}}

_WRITTEN_AT_CLOSE = {"status", "reason", "completed_at", "counts", "bytes", "failures"}


class Transition(NamedTuple):
    """A change that is made only if the guard holds."""

    guard: Document  # a query
    change: Document | list[Document]  # an update or a pipeline


def claimed(request_id: str, epoch: int) -> Document:
    """Return the guard of a coordinator: the request is processing, and no newer coordinator has claimed it."""
    return {"requestId": request_id, "status": Status.PROCESSING, "epoch": epoch}


# Events of the client.


def commit(request: ProcessingRequest) -> Document:
    """Return the document of a new request."""
    return request.document()


def cancel(request_id: str) -> Transition:
    """Ask an open request to end. An earlier reason stays."""
    return Transition(_open(request_id), [{"$set": {"stopping": {"$ifNull": ["$stopping", Reason.CANCELLED]}}}])


def pause(request_id: str, *, now: datetime) -> Transition:
    """Hold an open request."""
    return _set_paused(request_id, paused=True, now=now)


def resume(request_id: str, *, now: datetime) -> Transition:
    """Let a paused request go on. Its wait in the queue begins anew."""
    return _set_paused(request_id, paused=False, now=now)


def set_priority(request_id: str, priority: int) -> Transition:
    """Change the priority of an open request."""
    return Transition(_open(request_id), {"$set": {"priority": priority}})


def retry(ended: ProcessingRequest, codes: Collection[ImageErrorCode], *, now: datetime) -> Transition:
    """Open an ended request again for the failed images with these codes."""
    again = sum(failure.count for failure in ended.failures if failure.code in codes)
    seconds = ended.deadline_seconds
    change: Document = {
        "status": Status.PENDING,
        "retrying": list(codes),
        "reason": None,
        "stopping": None,
        "paused": False,
        "queuedAt": now,
        "startedAt": None,
        "completedAt": None,
        "deadlineAt": None if seconds is None else now + timedelta(seconds=seconds),
        "failures": [each.document() for each in ended.failures if each.code not in codes],
        "counts.failed": ended.counts.failed - again,
    }
    if ended.webhook is not None:
        change |= {"webhook.triggered": False, "webhook.attempts": 0}
    # With the end in the guard, a second retry does not lower the counts again.
    guard = _ended(ended.request_id) | {"completedAt": ended.completed_at}
    # A coordinator may not know that its close succeeded. With the new epoch it cannot go on.
    return Transition(guard, {"$set": change, "$inc": {"epoch": 1}})


def delete(request_id: str, *, now: datetime) -> Transition:
    """Hide an ended request, and free its idempotency key."""
    return Transition(_ended(request_id), {"$set": {"deletedAt": now}, "$unset": {"idempotencyKey": ""}})


# Events of the queue manager.


def admit(request_id: str, coordinator: str, *, now: datetime) -> Transition:
    """Give a waiting request to a coordinator."""
    change = {
        "status": Status.PROCESSING,
        "startedAt": {"$ifNull": ["$startedAt", now]},
        "admittedAt": now,
        "coordinator": coordinator,
        "yielding": False,
    }
    return Transition({"requestId": request_id, **WAITING}, [{"$set": change}])


def assign(request_id: str, coordinator: str) -> Transition:
    """Give a processing request to another coordinator."""
    return Transition(_processing(request_id), {"$set": {"coordinator": coordinator}})


def preempt(request_id: str) -> Transition:
    """Ask a processing request to wait again."""
    return Transition(_processing(request_id), {"$set": {"yielding": True}})


def stop_overdue(*, now: datetime) -> Transition:
    """Ask every open request to end whose deadline is over."""
    guard = {"status": {"$in": OPEN}, "deadlineAt": {"$lte": now}, "stopping": None}
    return Transition(guard, {"$set": {"stopping": Reason.TIMEOUT}})


def claim_stopping(request_id: str) -> Transition:
    """Claim a request that is to end before it was admitted."""
    guard = {"requestId": request_id, **STOPPING}
    return Transition(guard, {"$set": {"status": Status.PROCESSING, "coordinator": None}, "$inc": {"epoch": 1}})


# Events of the coordinator.


def claim(request_id: str) -> Transition:
    """Make the caller the newest coordinator of a processing request."""
    return Transition(_processing(request_id), {"$inc": {"epoch": 1}})


def finish_reopening(request_id: str, epoch: int) -> Transition:
    """Note that the failed images of a retry are pending."""
    return Transition(claimed(request_id, epoch), {"$set": {"retrying": None}})


def keep_counts(request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts) -> Transition:
    """Raise the counts of a processing request. No count is lowered."""
    reached = {
        "counts.completed": counts.completed,
        "counts.failed": counts.failed,
        "bytes.in": byte_counts.in_,
        "bytes.out": byte_counts.out,
    }
    return Transition(claimed(request_id, epoch) | {"retrying": None}, {"$max": reached})


def requeue(request_id: str, epoch: int, counts: Counts, byte_counts: ByteCounts, *, now: datetime) -> Transition:
    """Let a paused or preempted request wait without a coordinator."""
    change = {
        "status": Status.PENDING,
        "coordinator": None,
        "yielding": False,
        "queuedAt": now,
        "counts.completed": counts.completed,
        "counts.failed": counts.failed,
        "bytes": byte_counts.document(),
    }
    asked = {"stopping": None, "$or": [{"paused": True}, {"yielding": True}]}
    return Transition(claimed(request_id, epoch) | asked, {"$set": change})


def close(ended: ProcessingRequest) -> Transition:
    """Write how a request has ended."""
    change = ended.model_dump(include=_WRITTEN_AT_CLOSE)
    return Transition(claimed(ended.request_id, ended.epoch), {"$set": change})


# Events of the webhook sender and the sweeper.


def count_webhook_attempt(delivery: Delivery, state: DeliveryState) -> Transition:
    """Count an attempt at the webhook of a request. After a retry, attempts for the earlier end do not count."""
    guard = {
        "requestId": delivery.request_id,
        "status": {"$in": ENDED},
        "completedAt": delivery.created_at,
    }
    accepted = {"$set": {"webhook.triggered": True}} if state is DeliveryState.DELIVERED else {}
    return Transition(guard, {"$inc": {"webhook.attempts": 1}} | accepted)


def forget(request_id: str) -> Document:
    """Return the guard of the removal: the request is deleted."""
    return {"requestId": request_id, **DELETED}


def _set_paused(request_id: str, *, paused: bool, now: datetime) -> Transition:
    queued_at = {"$cond": [{"$eq": ["$paused", paused]}, "$queuedAt", now]}  # the same call again changes nothing
    return Transition(_open(request_id), [{"$set": {"queuedAt": queued_at, "paused": paused}}])


def _open(request_id: str) -> Document:
    return {"requestId": request_id, "status": {"$in": OPEN}, "deletedAt": None}


def _ended(request_id: str) -> Document:
    return {"requestId": request_id, "status": {"$in": ENDED}, "deletedAt": None}


def _processing(request_id: str) -> Document:
    return {"requestId": request_id, "status": Status.PROCESSING}
