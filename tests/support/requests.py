"""Requests in MongoDB as a coordinator finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.codes import ImageErrorCode
from cluster.identifiers import new_identifier
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import QueueLease, RequestClaims, RequestStore
from cluster.records import (
    Counts,
    Delivery,
    Image,
    ImageFailure,
    ProcessingRequest,
    Product,
    Status,
    utc_now,
)

if TYPE_CHECKING:
    from cluster.mongo.connection import Database

DONE = Image(status=Status.COMPLETED, bytes_in=100, bytes_out=40)
GONE = Image(status=Status.FAILED, error=ImageFailure(code=ImageErrorCode.NOT_FOUND, message="404."))


def product(request_id: str, row: int, images: int = 1) -> Product:
    return Product(
        request_id=request_id,
        row=row,
        serial_number=row,
        product_name=f"Product {row}",
        input_image_urls=[f"https://shop.example/{row}/{index}.jpg" for index in range(images)],
        output_image_urls=[None] * images,
        images=[Image()] * images,
        cells=[],
        first_image=(row - 2) * images,
    )


def new_request(**fields: object) -> ProcessingRequest:
    now = utc_now()
    return ProcessingRequest.model_validate(
        {
            "request_id": new_identifier("req"),
            "owner": "key",
            "created_at": now,
            "queued_at": now,
            "columns": [],
            "url_column": 0,
            "fingerprint": "0",
            **fields,
        }
    )


async def waiting(database: Database, **fields: object) -> str:
    """Make a request of three images that waits to be admitted, and return its id."""
    request = new_request(**({"counts": Counts(images=3)} | fields))
    await RequestStore(database).commit(request)
    return request.request_id


async def claimed_lease(database: Database) -> QueueLease:
    """The lease of a queue manager that is the newest one."""
    lease = QueueLease(database)
    await lease.claim()
    return lease


async def committed(database: Database, *, products: int = 1, images: int = 1, **fields: object) -> ProcessingRequest:
    """A request that was accepted and admitted, and whose coordinator has claimed it."""
    request = new_request(**({"counts": Counts(products=products, images=products * images)} | fields))
    await ProductStore(database).insert(product(request.request_id, row, images) for row in range(2, 2 + products))
    await RequestStore(database).commit(request)
    lease = await claimed_lease(database)
    assert await lease.admit(request.request_id, "coordinator") is not None
    claimed = await RequestClaims(database).claim(request.request_id)
    assert claimed is not None
    await ProductStore(database).take_over(request.request_id, claimed.epoch)
    return claimed


def ended(request: ProcessingRequest) -> ProcessingRequest:
    return request.model_copy(update={"status": Status.COMPLETED, "completed_at": utc_now()})


def due_delivery(closed: ProcessingRequest, *, url: str = "https://shop.example/hook") -> Delivery:
    assert closed.completed_at is not None
    return Delivery(
        delivery_id=new_identifier("msg"),
        request_id=closed.request_id,
        owner=closed.owner,
        url=url,
        secret="encrypted",
        event="request.completed",
        payload="{}",
        next_attempt_at=closed.completed_at,
        created_at=closed.completed_at,
    )


async def closed_with_delivery(
    database: Database, url: str = "https://shop.example/hook"
) -> tuple[ProcessingRequest, Delivery]:
    """A request that has ended, and the delivery that tells of it."""
    closed = ended(await committed(database, webhook={"url": url, "secret": "encrypted"}))
    delivery = due_delivery(closed, url=url)
    await RequestClaims(database).close(closed, delivery)
    return closed, delivery
