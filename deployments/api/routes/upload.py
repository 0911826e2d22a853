"""The route that takes a catalogue: `POST /api/upload`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from cluster.records import ApiKey
from deployments.api.admission import Upload, accept_upload
from deployments.api.answers import UploadAnswer
from deployments.api.bodies import UPLOAD_PATH
from deployments.api.services import Services, caller, services_of
from deployments.api.upload_form import FORM_SCHEMA, upload_form

MAX_IDEMPOTENCY_KEY_CHARACTERS = 255
PRINTABLE_ASCII = r"^[\x20-\x7e]*$"
router = APIRouter(tags=["upload"])


@router.post(
    UPLOAD_PATH,
    status_code=202,
    openapi_extra=FORM_SCHEMA,
    responses={200: {"model": UploadAnswer, "description": "The catalogue is valid, and this was a dry run."}},
)
async def upload(
    request: Request,
    response: Response,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARACTERS, pattern=PRINTABLE_ASCII)
    ] = None,
) -> UploadAnswer:
    """Upload a catalogue: a CSV with the columns `Serial Number`, `Product Name` and `Input Image Urls`.

    The answer is 202 when the request is stored for good. Its progress is at `Location`. A repeat with the same
    `Idempotency-Key` gets the same answer, and nothing is processed twice.
    """
    with services.upload_places.one(key.owner) as place:
        if idempotency_key is None or await services.requests.find_repeat(key.owner, idempotency_key) is None:
            # These checks come before the file is read, because it may be large.
            await services.require_stores()
            await services.quota.check(key.owner)
        async with upload_form(request) as form, place.at_work():
            answer = await accept_upload(services, Upload(form, owner=key.owner, idempotency_key=idempotency_key))
    if answer.request_id is None:
        response.status_code = 200
    else:
        response.headers["Location"] = f"/api/status/{answer.request_id}"
    return answer
