"""Closes a request: its counts, its status, and the webhook that tells of its end."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from actors.request.webhook_event import closing_delivery
from cluster.codes import ImageErrorCode
from cluster.errors import StoreUnavailableError
from cluster.mongo.counts import ResultCounts
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestClaims
from cluster.records import ImageFailure, Reason, Status, utc_now

if TYPE_CHECKING:
    from cluster.mongo.connection import Database
    from cluster.records import ProcessingRequest
    from cluster.redis.progress import Progress
    from cluster.settings import Settings

_NOT_DONE = {
    Reason.CANCELLED: ImageFailure(
        code=ImageErrorCode.CANCELLED,
        message="The request was cancelled before this image was done. Retry the request to do it.",
    ),
    Reason.TIMEOUT: ImageFailure(
        code=ImageErrorCode.DEADLINE_EXCEEDED,
        message="The deadline came before this image was done. Retry the request to do it.",
    ),
}
logger = logging.getLogger("darkroom.closing")


class Closing:
    """Closes requests whose epoch the caller has claimed.

    Every method raises `StoreUnavailableError` when MongoDB does not answer, and `StaleEpochError` when a newer
    coordinator has claimed the request.
    """

    def __init__(self, database: Database, progress: Progress, *, settings: Settings) -> None:
        self._claims = RequestClaims(database)
        self._products = ProductStore(database)
        self._result_counts = ResultCounts(database)
        self._progress = progress
        self._public_url = settings.public_url

    async def abandon(self, request: ProcessingRequest, reason: Reason) -> None:
        """Close a request although not all of its images are done. Images that are done stay."""
        await self._products.take_over(request.request_id, request.epoch)
        await self._products.fail_unfinished(request.request_id, request.epoch, _NOT_DONE[reason])
        await self.close(request, reason)

    async def close(self, request: ProcessingRequest, reason: Reason | None = None) -> None:
        """Close a request whose images are all terminal.

        Args:
            request: The request, as it was claimed.
            reason: The reason why it has failed although images may have succeeded.
        """
        await self._products.settle(request.request_id, request.epoch)
        reached, byte_counts = await self._result_counts.count(request.request_id)
        counts = request.counts.model_copy(update={"completed": reached.completed, "failed": reached.failed})
        if counts.completed + counts.failed != counts.images:
            message = f"{counts.images - counts.completed - counts.failed} images are not terminal"
            raise RuntimeError(message)
        if reason is None and not counts.completed:
            reason = Reason.ALL_IMAGES_FAILED
        closed = request.model_copy(
            update={
                "status": Status.COMPLETED if reason is None else Status.FAILED,
                "reason": reason,
                "completed_at": utc_now(),
                "counts": counts,
                "bytes": byte_counts,
                "failures": await self._result_counts.failures(request.request_id),
            }
        )
        await self._claims.close(closed, closing_delivery(closed, public_url=self._public_url))
        logger.info("request closed", extra={"requestId": closed.request_id, "status": closed.status})
        with contextlib.suppress(StoreUnavailableError):  # then its time to live removes it
            await self._progress.forget(closed.request_id)
