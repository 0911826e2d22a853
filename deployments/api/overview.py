"""The progress of a request. It comes from Redis while the request runs, else from MongoDB."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster.errors import StoreUnavailableError
from cluster.records import ByteCounts, Status, utc_now
from cluster.redis.progress import Snapshot
from deployments.api.answers import ImageCounts, RequestAnswer, WebhookAnswer

if TYPE_CHECKING:
    from cluster.records import ProcessingRequest
    from deployments.api.services import Services

_MAX_PERCENT_WHILE_RUNNING = 99.9
logger = logging.getLogger("darkroom.api")


async def overview(services: Services, request: ProcessingRequest) -> RequestAnswer:
    """Return a request as clients see it, without its products.

    Raises:
        StoreUnavailableError: MongoDB does not answer. An answer of Redis is not needed.
    """
    reached = await _reached(services, request)
    counts = ImageCounts(
        rows=request.counts.rows,
        products=request.counts.products,
        images=request.counts.images,
        completed=reached.completed,
        failed=reached.failed,
        in_flight=reached.in_flight,
        unprocessed=max(0, request.counts.images - reached.completed - reached.failed - reached.in_flight),
    )
    webhook = request.webhook
    return RequestAnswer(
        request_id=request.request_id,
        status=request.status,
        reason=request.reason,
        paused=request.paused,
        stopping=None if request.terminal else request.stopping,
        progress=_progress(request, counts),
        counts=counts,
        bytes=ByteCounts(in_=reached.bytes_in, out=reached.bytes_out),
        filename=request.filename,
        priority=request.priority,
        created_at=request.created_at,
        started_at=request.started_at,
        completed_at=request.completed_at,
        deadline_at=request.deadline_at,
        eta_seconds=_eta_seconds(request, counts),
        webhook=webhook and WebhookAnswer(url=webhook.url, triggered=webhook.triggered, attempts=webhook.attempts),
    )


async def _reached(services: Services, request: ProcessingRequest) -> Snapshot:
    known = Snapshot(request.counts.completed, request.counts.failed, 0, request.bytes.in_, request.bytes.out)
    # Until a retry has begun, Redis and the products still have the earlier failures.
    if request.status is not Status.PROCESSING or request.retrying is not None:
        return known
    try:
        snapshot = await services.progress.read(request.request_id, request.epoch)
    except StoreUnavailableError as error:
        logger.warning("progress comes from MongoDB: %s", error, extra={"requestId": request.request_id})
        snapshot = None
    if snapshot is None:
        counts, byte_counts = await services.counted(request.request_id)
        await services.requests.keep_counts(request.request_id, request.epoch, counts, byte_counts)
        snapshot = Snapshot(counts.completed, counts.failed, 0, byte_counts.in_, byte_counts.out)
    # MongoDB may be ahead of Redis, and keeps earlier counts. So no answer shows less than an earlier one.
    reached = Snapshot(*map(max, snapshot, known))
    left = request.counts.images - reached.completed - reached.failed
    return reached._replace(in_flight=max(0, min(reached.in_flight, left)))


def _progress(request: ProcessingRequest, counts: ImageCounts) -> float:
    if request.terminal:
        return 100
    done = counts.completed + counts.failed
    return min(_MAX_PERCENT_WHILE_RUNNING, round(100 * done / counts.images, 1))


def _eta_seconds(request: ProcessingRequest, counts: ImageCounts) -> float | None:
    done = counts.completed + counts.failed
    if request.status is not Status.PROCESSING or request.started_at is None or not done:
        return None
    elapsed_seconds = (utc_now() - request.started_at).total_seconds()
    return round(elapsed_seconds * (counts.images - done) / done, 1)
