"""The routes that change an accepted request: cancel, pause, resume, priority, retry and delete.

Each change is in MongoDB before the answer. The queue manager and the coordinator follow within a second.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from cluster.codes import ImageErrorCode
from cluster.errors import RefusedError
from cluster.records import ApiKey, ProcessingRequest, Reason
from deployments.api.answers import RequestAnswer
from deployments.api.json_body import JsonBody
from deployments.api.overview import overview
from deployments.api.services import Services, caller, owned_request, services_of

router = APIRouter(tags=["control"])
ServicesArgument = Annotated[Services, Depends(services_of)]
KeyArgument = Annotated[ApiKey, Depends(caller)]


class Change(JsonBody):
    """A change of a request that has not ended."""

    priority: int = Field(ge=0, le=9, description="0 to 9. Requests of priority 9 come first.")


class Retry(JsonBody):
    """The failed images that a retry does again."""

    codes: list[Annotated[ImageErrorCode, Field(strict=False)]] | None = Field(
        default=None, description="The codes of these images. Without it, all failed images are retried."
    )


@router.post("/api/requests/{request_id}/cancel", status_code=202)
async def cancel(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Cancel a request. Images that are done stay. All others fail with `cancelled`, and so does the request.

    No image begins after the answer, and running images end within two seconds. A second cancel changes nothing.
    """
    found = await owned_request(services, request_id, key)
    if found.stopping is Reason.CANCELLED:  # it was cancelled before, and may have ended since
        return await overview(services, found)
    return await _changed(services, await services.control.cancel(request_id))


@router.post("/api/requests/{request_id}/pause", status_code=202)
async def pause(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Pause a request. No image begins until the request is resumed. Its deadline is not moved."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.pause(request_id))


@router.post("/api/requests/{request_id}/resume", status_code=202)
async def resume(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Resume a paused request. Images that are done stay done."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.resume(request_id))


@router.patch("/api/requests/{request_id}")
async def change(request_id: str, body: Change, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Change the priority of a request that waits or runs."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.set_priority(request_id, body.priority))


@router.post("/api/requests/{request_id}/retry", status_code=202)
async def retry(
    request_id: str, services: ServicesArgument, key: KeyArgument, body: Retry | None = None
) -> RequestAnswer:
    """Retry the failed images of an ended request, all or by code. The request gets a new webhook at its new end."""
    found = await owned_request(services, request_id, key)
    codes = body.codes if body is not None and body.codes is not None else list(ImageErrorCode)
    failed = sum(failure.count for failure in found.failures if failure.code in codes)
    if found.terminal and not failed:
        detail = "No image of this request has failed, so there is nothing to retry."
        if found.failures:
            detail = "No image of this request has failed with one of these codes. Name others, or none for all."
        raise RefusedError(422, "nothing_to_retry", detail)
    if found.terminal:
        await services.quota.check(key.owner, failed)
    again = await services.control.retry(found, codes) if found.terminal else None
    if again is None:
        raise RefusedError(409, "still_running", "The request has not ended. Retry it when it has.")
    services.actors.queue_changed()
    return await overview(services, again)


@router.delete("/api/requests/{request_id}", status_code=204)
async def delete(request_id: str, services: ServicesArgument, key: KeyArgument) -> Response:
    """Delete an ended request with its records and outputs. It is hidden at once, and removed a moment later."""
    await owned_request(services, request_id, key)
    if not await services.control.delete(request_id):
        raise RefusedError(409, "still_running", "The request has not ended. Cancel it first.")
    services.actors.deleted()
    return Response(status_code=204)


async def _changed(services: Services, request: ProcessingRequest | None) -> RequestAnswer:
    if request is None:
        raise RefusedError(409, "already_ended", "The request has ended. Retry it, or upload the catalogue again.")
    services.actors.queue_changed()
    return await overview(services, request)
