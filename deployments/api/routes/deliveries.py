"""The routes of a request's webhook: list its deliveries, and send one again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from cluster.errors import RefusedError
from cluster.records import ApiKey
from deployments.api.answers import DeliveriesAnswer, DeliveryAnswer
from deployments.api.services import Services, caller, owned_request, services_of

router = APIRouter(tags=["webhooks"])


@router.get("/api/requests/{request_id}/deliveries")
async def deliveries(
    request_id: str,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
) -> DeliveriesAnswer:
    """List the deliveries of a request's webhook with their attempts, the oldest first."""
    await owned_request(services, request_id, key)
    found = await services.outbox.of_request(request_id)
    return DeliveriesAnswer(deliveries=[DeliveryAnswer.of(delivery) for delivery in found])


@router.post("/api/requests/{request_id}/deliveries/{delivery_id}/redeliver", status_code=202)
async def redeliver(
    request_id: str,
    delivery_id: str,
    services: Annotated[Services, Depends(services_of)],
    key: Annotated[ApiKey, Depends(caller)],
) -> DeliveryAnswer:
    """Send a delivery again now, with the same `webhook-id` and body. It gets all its retries anew."""
    await owned_request(services, request_id, key)
    delivery = await services.outbox.redeliver(request_id, delivery_id)
    if delivery is None:
        raise RefusedError(
            404, "delivery_not_found", "This request has no delivery of this id. List its deliveries to find it."
        )
    services.actors.outbox_changed()
    return DeliveryAnswer.of(delivery)
