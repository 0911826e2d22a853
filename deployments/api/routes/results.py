"""The routes of the results: `results.csv` and `results.jsonl` of a request, streamed at any time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from cluster.records import ApiKey, Status
from deployments.api.answers import ProductAnswer
from deployments.api.results_csv import ResultsCsv
from deployments.api.services import Services, caller, owned_request, services_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.records import Product

Only = Literal["all", "failed"]
STATUSES: dict[Only, tuple[Status, ...] | None] = {"all": None, "failed": (Status.FAILED,)}
router = APIRouter(tags=["results"])


@router.get(
    "/api/requests/{request_id}/results.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "The catalogue with its results."}},
)
async def results_csv(
    request_id: str,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
    only: Only = "all",
) -> StreamingResponse:
    """Stream the columns of the catalogue, links and errors. A CSV of `only=failed` can be uploaded again unchanged."""
    request = await owned_request(services, request_id, key)
    table = ResultsCsv(request, link=services.bucket.link, only_failed=only == "failed")

    async def lines() -> AsyncIterator[bytes]:
        yield table.header()
        async for page in services.products.pages(request_id, statuses=STATUSES[only]):
            yield await asyncio.to_thread(table.rows, page)

    return _download(lines(), "text/csv; charset=utf-8", f"{request_id}-results.csv")


@router.get(
    "/api/requests/{request_id}/results.jsonl",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/jsonl": {}}, "description": "One product on each line, as in the status."}
    },
)
async def results_jsonl(
    request_id: str,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
    only: Only = "all",
) -> StreamingResponse:
    """Stream one JSON object on each line for each product, in the order of the catalogue."""
    await owned_request(services, request_id, key)

    def serialise(page: list[Product]) -> bytes:
        lines = (ProductAnswer.of(product, services.bucket.link).model_dump_json() for product in page)
        return "".join(f"{line}\n" for line in lines).encode()

    async def lines() -> AsyncIterator[bytes]:
        async for page in services.products.pages(request_id, statuses=STATUSES[only]):
            yield await asyncio.to_thread(serialise, page)

    return _download(lines(), "application/jsonl", f"{request_id}-results.jsonl")


def _download(body: AsyncIterator[bytes], media_type: str, filename: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{filename}"', "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type=media_type, headers=headers)
