"""The answers of the API, as OpenAPI shows them. Fields of records keep their names."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cluster.records import (
    ByteCounts,
    Decision,
    DeliveryResponse,
    DeliveryState,
    FailureCount,
    ImageFailure,
    ImageFormat,
    Product,
    Reason,
    Record,
    RowProblem,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.records import Delivery, Image


class UploadCounts(Record):
    """The counts of a catalogue. Rows with errors count in `rows` only."""

    rows: int
    products: int
    images: int


class UploadAnswer(Record):
    """An accepted upload. A dry run has no `requestId`."""

    request_id: str | None
    status: Status | None
    message: str
    valid: bool = True
    counts: UploadCounts
    rejected_rows: list[RowProblem] = Field(description="The errors of skipped rows, at most 1,000.")


class ImageCounts(Record):
    """The counts of a request. `completed`, `failed`, `inFlight` and `unprocessed` add up to `images`."""

    rows: int
    products: int
    images: int
    completed: int
    failed: int
    in_flight: int
    unprocessed: int


class WebhookAnswer(Record):
    """The webhook of a request, and whether its endpoint has accepted a call."""

    url: str
    triggered: bool
    attempts: int


class RequestAnswer(Record):
    """A request without its products."""

    request_id: str
    status: Status
    reason: Reason | None
    paused: bool = Field(description="The request waits until it is resumed.")
    stopping: Reason | None = Field(description="Why the request is about to end although not all images are done.")
    progress: float = Field(
        ge=0, le=100, description="Percent of the images that are terminal. It is 100 only at the end."
    )
    counts: ImageCounts
    bytes: ByteCounts
    filename: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    deadline_at: datetime | None
    eta_seconds: float | None
    webhook: WebhookAnswer | None


class OutputAnswer(Record):
    """One of several outputs of an image."""

    name: str
    url: str
    bytes: int
    width: int
    height: int
    format: ImageFormat
    quality: int | None
    decision: Decision


class ImageAnswer(Record):
    """One image, aligned with `inputImageUrls`.

    With several outputs, `bytesOut` is their sum. The fields from `width` to `decision` tell of the first output.
    """

    status: Status
    error: ImageFailure | None
    http_status: int | None = Field(description="The status that the source answered.")
    attempts: int
    bytes_in: int
    bytes_out: int
    cpu_seconds: float | None = Field(
        description="The CPU time of the compression. It is null for a copied result and before a compression."
    )
    width: int | None
    height: int | None
    format: ImageFormat | None
    quality: int | None = Field(
        description="The quality of the encoder. It is null for lossless formats and for a kept original."
    )
    decision: Decision | None
    outputs: list[OutputAnswer] = Field(description="The outputs when the options ask for several, else empty.")

    @classmethod
    def of(cls, image: Image, link: Callable[[str], str]) -> ImageAnswer:
        """Return an image with links in place of object keys."""
        shown = image.model_dump(exclude={"outputs": {"__all__": {"key"}}, "duplicate_of": True})
        for output, stored in zip(shown["outputs"], image.outputs, strict=True):
            output["url"] = link(stored.key)
        return cls.model_validate(shown)


class ProductAnswer(Record):
    """One row of the catalogue with its results."""

    serial_number: int
    product_name: str
    input_image_urls: list[str]
    output_image_urls: list[str | None] = Field(description="Aligned with the inputs. Null where an image failed.")
    processing_status: Status
    row: int
    images: list[ImageAnswer]

    @classmethod
    def of(cls, product: Product, link: Callable[[str], str]) -> ProductAnswer:
        """Return a product with links in place of object keys."""
        links = [None if key is None else link(key) for key in product.output_image_urls]
        return cls(
            serial_number=product.serial_number,
            product_name=product.product_name,
            input_image_urls=product.input_image_urls,
            output_image_urls=links,
            processing_status=product.processing_status,
            row=product.row,
            images=[ImageAnswer.of(image, link) for image in product.images],
        )


class StatusAnswer(RequestAnswer):
    """A request with its failures by code and one page of its products."""

    failures: list[FailureCount]
    products: list[ProductAnswer]
    next_cursor: str | None


class RequestPageAnswer(Record):
    """One page of requests, the newest first."""

    requests: list[RequestAnswer]
    next_cursor: str | None


class DeliveryAnswer(Record):
    """One webhook delivery. Its `deliveryId` is the `webhook-id` of every attempt."""

    delivery_id: str
    url: str
    event: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    responses: list[DeliveryResponse]

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryAnswer:
        """Return a delivery without its secret and body."""
        pending = delivery.state is DeliveryState.PENDING
        return cls(
            delivery_id=delivery.delivery_id,
            url=delivery.url,
            event=delivery.event,
            state=delivery.state,
            attempts=delivery.attempts,
            next_attempt_at=delivery.next_attempt_at if pending else None,
            created_at=delivery.created_at,
            responses=delivery.responses,
        )


class DeliveriesAnswer(Record):
    """The deliveries of one request, the oldest first."""

    deliveries: list[DeliveryAnswer]


class CheckAnswer(Record):
    """The check of one thing that the service needs."""

    ok: bool
    detail: str | None = None


class ReadinessAnswer(Record):
    """Whether the service can accept work and do it."""

    ready: bool
    checks: dict[Literal["mongodb", "redis", "s3", "queueManager", "preparation", "rayHead"], CheckAnswer]


class HealthAnswer(Record):
    """The process answers."""

    status: Literal["ok"] = "ok"
