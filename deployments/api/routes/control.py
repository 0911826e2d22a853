"""What a client may do with a request that was accepted: cancel, pause, resume, hurry, retry, delete.

Each is written to MongoDB before the answer; those who work on the request follow within a second.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import ConfigDict, Field

from cluster.codes import ImageErrorCode
from cluster.errors import RefusedError
from cluster.records import ApiKey, ProcessingRequest, Reason, Record
from deployments.api.answers import RequestAnswer
from deployments.api.overview import overview
from deployments.api.services import Services, owned_request, services_of, writer

router = APIRouter(tags=["control"])
ServicesArgument = Annotated[Services, Depends(services_of)]
KeyArgument = Annotated[ApiKey, Depends(writer)]


class Change(Record):
    """What may be changed about a request that has not ended."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(ge=0, le=9, description="9 first.")


class Retry(Record):
    """Which of the failed images are to be done again."""

    model_config = ConfigDict(extra="forbid")

    codes: list[ImageErrorCode] | None = Field(default=None, description="All if not given.")


@router.post("/api/requests/{request_id}/cancel", status_code=202)
async def cancel(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """End a request: what is done stays, the rest fails with `cancelled`; its `reason` will be `cancelled`.

    Nothing new is begun from now on, and what runs ends within two seconds. The same again changes nothing.
    """
    found = await owned_request(services, request_id, key)
    if found.stopping is Reason.CANCELLED:  # asked before, and it may have ended since
        return await overview(services, found)
    return await _changed(services, await services.control.cancel(request_id))


@router.post("/api/requests/{request_id}/pause", status_code=202)
async def pause(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Hold a request: nothing new is begun until it is resumed. Its deadline, if it has one, goes on."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.pause(request_id))


@router.post("/api/requests/{request_id}/resume", status_code=202)
async def resume(request_id: str, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Let a paused request go on where it was."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.resume(request_id))


@router.patch("/api/requests/{request_id}")
async def change(request_id: str, body: Change, services: ServicesArgument, key: KeyArgument) -> RequestAnswer:
    """Change the priority of a request, whether it waits or runs."""
    await owned_request(services, request_id, key)
    return await _changed(services, await services.control.set_priority(request_id, body.priority))


@router.post("/api/requests/{request_id}/retry", status_code=202)
async def retry(
    request_id: str, services: ServicesArgument, key: KeyArgument, body: Retry | None = None
) -> RequestAnswer:
    """Do the failed images of an ended request again, all or by code; the others stay, and a new webhook is sent."""
    found = await owned_request(services, request_id, key)
    codes = body.codes if body is not None and body.codes is not None else list(ImageErrorCode)
    failed = sum(failure.count for failure in found.failures if failure.code in codes)
    if found.terminal and not failed:
        detail = "No image of this request has failed" + (" with one of these codes." if found.failures else ".")
        raise RefusedError(422, "nothing_to_retry", detail)
    if found.terminal:
        await services.quota.check(key.owner, failed)
    again = await services.control.retry(found, codes) if found.terminal else None
    if again is None:
        raise RefusedError(409, "still_running", "The request has not ended; retry it when it has.")
    services.actors.queue_changed()
    return await overview(services, again)


@router.delete("/api/requests/{request_id}", status_code=204)
async def delete(request_id: str, services: ServicesArgument, key: KeyArgument) -> Response:
    """Delete an ended request with its records and outputs; from now on it is not found, and soon it is gone."""
    await owned_request(services, request_id, key)
    if not await services.control.delete(request_id):
        raise RefusedError(409, "still_running", "The request has not ended; cancel it first.")
    services.actors.deleted()
    return Response(status_code=204)


async def _changed(services: Services, request: ProcessingRequest | None) -> RequestAnswer:
    if request is None:
        raise RefusedError(409, "already_ended", "The request has ended; nothing can be changed about it any more.")
    services.actors.queue_changed()
    return await overview(services, request)
