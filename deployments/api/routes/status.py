"""The routes of the progress: `GET /api/status/{requestId}` and `GET /api/requests`."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from cluster.errors import RefusedError
from cluster.records import ApiKey, Status, utc_now
from deployments.api.answers import ProductAnswer, RequestPageAnswer, StatusAnswer
from deployments.api.overview import overview
from deployments.api.services import Services, caller, owned_request, services_of

if TYPE_CHECKING:
    from cluster.records import FailureCount, ProcessingRequest, Product

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
STATUS_POLL_SECONDS = 1
# These change with time alone, so they do not change the ETag.
_NOT_IN_ETAG: dict[str, Any] = {
    "eta_seconds": True,
    "products": {"__all__": {"output_image_urls": True, "images": {"__all__": {"outputs": {"__all__": {"url"}}}}}},
}
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
router = APIRouter(tags=["status"])


@router.get(
    "/api/status/{request_id}",
    response_model=StatusAnswer,
    responses={304: {"description": "Nothing has changed since the answer with the ETag in `If-None-Match`."}},
)
async def status(
    request_id: str,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: str | None = None,
    product_status: Annotated[Status | None, Query(alias="productStatus")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the progress of a request, with one page of its products in the order of the catalogue."""
    request = await owned_request(services, request_id, key)
    after_row = _row_of(cursor)
    products = await services.products.page(request_id, after_row=after_row, limit=limit, status=product_status)
    answer = StatusAnswer(
        **dict(await overview(services, request)),
        failures=await _failures(services, request),
        products=await asyncio.to_thread(_linked, services, products),
        next_cursor=str(products[-1].row) if len(products) == limit else None,
    )
    return _cacheable(answer, if_none_match)


@router.get("/api/requests")
async def requests(
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: str | None = None,
    status: Status | None = None,
) -> RequestPageAnswer:
    """List the requests of the caller's API key, the newest first."""
    found = await services.requests.page(key.owner, status=status, before_id=cursor, limit=limit)
    return RequestPageAnswer(
        requests=[await overview(services, request) for request in found],
        next_cursor=found[-1].request_id if len(found) == limit else None,
    )


def _row_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):  # noqa: PLR2004 - digits of a 64-bit number
        raise RefusedError(
            400, "invalid_cursor", "The cursor is not valid. Send the `nextCursor` of the page before, unchanged."
        )
    return int(cursor)


async def _failures(services: Services, request: ProcessingRequest) -> list[FailureCount]:
    if request.status is Status.PROCESSING:
        return await services.result_counts.failures(request.request_id)
    return request.failures


def _linked(services: Services, products: list[Product]) -> list[ProductAnswer]:
    return [ProductAnswer.of(product, services.bucket.link) for product in products]


def _cacheable(answer: StatusAnswer, if_none_match: str | None) -> Response:
    # The ETag changes every day, because links end after a week.
    content = answer.model_dump_json(exclude=_NOT_IN_ETAG)
    etag = f'W/"{hashlib.sha256(f"{utc_now().date()} {content}".encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if answer.status in (Status.PENDING, Status.PROCESSING):
        headers["Retry-After"] = str(STATUS_POLL_SECONDS)
    if if_none_match is not None and etag in {each.strip() for each in if_none_match.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)
