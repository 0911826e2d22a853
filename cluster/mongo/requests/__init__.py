"""The collection `processing_requests`: the state machine of a request, with all its writes and reads.

│                       admit, claim_stopping               close
│ commit ──> pending ──────────────────────────> processing ──────> completed ── delete ──> deleted ── forget ──> none
│            ^     ^                             │                  or failed
│            │     └────────── requeue ──────────┘                  │
│            └──────────────────────── retry ───────────────────────┘

A request is open while it is pending or processing. It has ended when it is completed or failed.
A deleted request keeps its status and has a `deletedAt`. A terminal request has ended or is deleted.

These are all the events. There is no other write. "=" leaves the state as it is.

│ event                 │ from       │ to         │ epoch │ guard beside the state                   │ writer
│ ──────────────────────┼────────────┼────────────┼───────┼──────────────────────────────────────────┼─────────────────
│ commit                │ none       │ pending    │       │ new id, new idempotency key              │ client
│ cancel                │ open       │ =          │       │ not deleted                              │ client
│ pause                 │ open       │ =          │       │ not deleted                              │ client
│ resume                │ open       │ =          │       │ not deleted                              │ client
│ set_priority          │ open       │ =          │       │ not deleted                              │ client
│ retry                 │ ended      │ pending    │ +1    │ not deleted, the end that the client saw │ client
│ delete                │ ended      │ deleted    │       │ not deleted                              │ client
│ admit                 │ pending    │ processing │       │ not paused, not stopping                 │ queue manager
│ assign                │ processing │ =          │       │                                          │ queue manager
│ preempt               │ processing │ =          │       │                                          │ queue manager
│ stop_overdue          │ open       │ =          │       │ past its deadline, not stopping          │ queue manager
│ claim_stopping        │ pending    │ processing │ +1    │ stopping                                 │ queue manager
│ claim                 │ processing │ =          │ +1    │                                          │ coordinator
│ finish_reopening      │ processing │ =          │       │ same epoch                               │ coordinator
│ keep_counts           │ processing │ =          │       │ same epoch, not retrying                 │ coordinator, API
│ requeue               │ processing │ pending    │       │ same epoch, not stopping, asked to wait  │ coordinator
│ close                 │ processing │ ended      │       │ same epoch                               │ coordinator
│ count_webhook_attempt │ terminal   │ =          │       │ the end that the webhook tells           │ webhook sender
│ forget                │ deleted    │ none       │       │                                          │ sweeper

A coordinator has the epoch that its claim returned. "same epoch" refuses the writes of all earlier coordinators.
The queue manager writes under its lease: each write is one transaction with a write to the lease.
After `claim_stopping` it acts as the coordinator and closes the request.
`close` is one transaction with the outbox entry. `count_webhook_attempt` is one with the update of the delivery.

`transitions` has a pure function for each event. `writer` carries them out.
The other modules have the classes of the writers, and the reads of the queue.
Only a restore writes past this package: it copies documents out of a backup.
"""

from __future__ import annotations

from cluster.mongo.requests.claims import ControlSignals, RequestClaims
from cluster.mongo.requests.control import RequestControl
from cluster.mongo.requests.lease import QueueLease
from cluster.mongo.requests.queue import Candidate, Load, OpenRequest, RequestQueue
from cluster.mongo.requests.request_store import RequestStore
from cluster.mongo.requests.webhook_attempts import WebhookAttempts

__all__ = [
    "Candidate",
    "ControlSignals",
    "Load",
    "OpenRequest",
    "QueueLease",
    "RequestClaims",
    "RequestControl",
    "RequestQueue",
    "RequestStore",
    "WebhookAttempts",
]
