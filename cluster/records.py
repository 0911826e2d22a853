"""The records that MongoDB holds and the API shows. Field names are camelCase in both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cluster.codes import ImageErrorCode
from cluster.options import ImageOptions


class Record(BaseModel):
    """A frozen record: snake_case in Python, camelCase in MongoDB and JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)

    def document(self) -> dict[str, Any]:
        """Return the record as MongoDB holds it."""
        return self.model_dump()


class Status(StrEnum):
    """The state of a request, a product or an image. The last two are terminal."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will be done."""
        return self in (Status.COMPLETED, Status.FAILED)


class Reason(StrEnum):
    """The reason why a request failed."""

    ALL_IMAGES_FAILED = "all_images_failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"  # its deadline came first


class Decision(StrEnum):
    """The choice of the bytes that an output holds."""

    COMPRESSED = "compressed"
    KEPT_ORIGINAL = "kept_original"
    DEDUPLICATED = "deduplicated"  # the bytes of another image with the same source


class ImageFormat(StrEnum):
    """The formats that an output can have."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"
    TIFF = "tiff"


class ImageFailure(Record):
    """The reason why an image failed."""

    code: ImageErrorCode  # stable
    message: str  # for the owner of the catalogue, with a remedy


class Output(Record):
    """One of several stored outputs of an image."""

    name: str
    key: str  # of the object
    bytes: int
    width: int  # pixels
    height: int  # pixels
    format: ImageFormat
    quality: int | None  # of the encoder; None when it had none to set
    decision: Decision


class Place(Record):
    """The place of an image in a request."""

    row: int
    index: int  # in the row


class Image(Record):
    """One image of a product, aligned with `inputImageUrls`.

    With several outputs, `bytesOut` is their sum, and width to decision describe the first one.
    """

    status: Status = Status.PENDING
    error: ImageFailure | None = None  # of the last attempt, once the image has failed for good
    http_status: int | None = None  # of the source's answer
    attempts: int = 0  # counted before the image is decoded
    failures: int = 0  # attempts known to have ended in a transient error; after a crash it is not known
    bytes_in: int = 0  # as downloaded
    bytes_out: int = 0  # as stored
    cpu_seconds: float | None = None  # of its compression, to the millisecond; None if there was none for this image
    width: int | None = None  # pixels, of the output
    height: int | None = None  # pixels, of the output
    format: ImageFormat | None = None  # of the output
    quality: int | None = None  # of the encoder; None when it had none to set
    decision: Decision | None = None
    outputs: list[Output] = Field(default=[])  # when the options ask for several
    duplicate_of: Annotated[Place | None, Field(alias="repeats")] = None  # an earlier image, done for both
    batch: int | None = None  # the newest that has begun it; an older one may still run, and must not write


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at an image."""

    row: int
    index: int  # in the row
    number: int  # from 1


@dataclass(frozen=True, slots=True)
class FailedAttempts:
    """The number of failed attempts at an image."""

    row: int
    index: int  # in the row
    count: int


class Product(Record):
    """One row of the catalogue."""

    request_id: str
    row: int  # the line's number in the file, from 1; unique in a request, unlike the serial number
    serial_number: int
    product_name: str
    input_image_urls: list[str]
    output_image_urls: list[str | None]  # object keys, of the first outputs; aligned with the inputs, None until stored
    processing_status: Status = Status.PENDING
    images: list[Image]  # aligned with the inputs
    cells: list[str]  # the row as it was, aligned with the request's columns
    first_image: int  # the ordinal of its first image in the request, from 0: the place in the progress bitmap
    epoch: int = 1  # of the coordinator that may write it; the first coordinator's is 1


class Counts(Record):
    """The numbers of rows, products and images of a request."""

    rows: int = 0  # of the file, without the header; rows with errors are skipped and are no products
    products: int = 0
    images: int = 0
    completed: int = 0  # images
    failed: int = 0  # images


class ByteCounts(Record):
    """Sums over the completed images, in bytes."""

    in_: Annotated[int, Field(alias="in")] = 0
    out: int = 0


class FailureCount(Record):
    """The number of images that failed with one code."""

    code: ImageErrorCode
    count: int
    sample_url: str  # one of them


class WebhookTarget(Record):
    """The endpoint of a request's webhook, and the outcome of its attempts."""

    url: str
    secret: str  # encrypted
    triggered: bool = False  # an endpoint has accepted it
    attempts: int = 0


class ProcessingRequest(Record):
    """One accepted upload."""

    request_id: str
    owner: str  # the id of the API key
    status: Status = Status.PENDING
    reason: Reason | None = None  # why it failed
    created_at: datetime
    queued_at: datetime  # the start of its wait: the upload, a retry, a requeue, or the end of a pause
    started_at: datetime | None = None
    completed_at: datetime | None = None
    priority: int = 5  # 0 to 9, 9 first
    deadline_seconds: float | None = None  # from the upload, or the retry, to the end
    deadline_at: datetime | None = None
    paused: bool = False  # waits until it is resumed
    admitted_at: datetime | None = None  # the last time
    preempted: Annotated[bool, Field(alias="yielding")] = False  # is to wait again: it is another request's turn
    stopping: Reason | None = None  # it is to end for this reason, although not all is done
    retrying: list[ImageErrorCode] | None = None  # first of all, failed images with these codes become pending
    deleted_at: datetime | None = None  # hidden since then; the sweeper removes its data
    options: ImageOptions = ImageOptions()
    counts: Counts = Counts()
    bytes: ByteCounts = ByteCounts()
    failures: list[FailureCount] = Field(default=[])  # the most frequent first; written when the request is closed
    columns: list[str]  # the header, without columns of an earlier result
    filename: str | None = None
    webhook: WebhookTarget | None = None
    idempotency_key: str | None = None
    fingerprint: str  # SHA-256 of file and form; tells a repeated upload from another one with the same key
    coordinator: str | None = None  # the name of the actor that works on it, once it is admitted
    epoch: int = 0  # raised by each incarnation of the coordinator
    url_column: int  # the index of the image URLs in `columns`
    delimiter: str = ","  # of the file and of the result CSV
    byte_order_mark: bool = False  # the file begins with one; Excel writes it and wants it back

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self.status.terminal


class DeliveryState(StrEnum):
    """The state of a webhook delivery. The last two are terminal."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryResponse(Record):
    """The response to one attempt at a delivery."""

    at: datetime
    http_status: int | None = None
    error: str | None = None  # when there was no answer
    location: str | None = None  # the target of a redirect, which is not followed
    duration_seconds: float


class Delivery(Record):
    """One entry of the webhook outbox."""

    delivery_id: str  # sent as `webhook-id`, the same at every attempt
    request_id: str
    owner: str = ""  # the key of the request
    url: str
    secret: str  # encrypted
    event: Literal["request.completed", "request.failed"]
    payload: str  # the body, byte for byte the same at every attempt
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0  # attempts that have ended since it was last redelivered by hand
    next_attempt_at: datetime
    unresolved_since: datetime | None = None  # no name server has answered for the host since then
    created_at: datetime  # when the request ended; each retry makes another delivery
    responses: list[DeliveryResponse] = Field(default=[])


class Scope(StrEnum):
    """A permission of an API key."""

    READ = "read"
    WRITE = "write"


class ApiKey(Record):
    """An API key as MongoDB holds it, without the secret."""

    key_id: str
    owner: str  # the key whose requests it sees: itself, or the key that it was made beside
    name: str
    secret_hash: str  # SHA-256, hex; the secret has 256 random bits, so it needs no salt and no slow hash
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None = None


class RowProblem(Record):
    """One error of a CSV."""

    row: int  # the line's number in the file; 1 is the header
    column: str | None
    value: str | None
    code: str
    message: str


def utc_now() -> datetime:
    """Return the time in UTC, with the millisecond precision that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
