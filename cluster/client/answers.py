"""The answers of the API, as the client hands them on.

They are lenient on purpose, because a client must also work with the next version of its server. Unknown fields are
kept. Codes and states are plain strings. Only the fields that identify a thing are required.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from cluster.records import RowProblem

TERMINAL_STATES = frozenset({"completed", "failed"})


class Answer(BaseModel):
    """A frozen part of an answer. Its names are snake_case in Python and camelCase in JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="allow")

    def document(self) -> dict[str, Any]:
        """Return the answer as the server gave it, fit for `json.dumps`."""
        return self.model_dump(by_alias=True, mode="json", exclude_unset=True)


class CountsAnswer(Answer):
    """The counts of a request. Those from `completed` to `unprocessed` count images."""

    rows: int = 0
    products: int = 0
    images: int = 0
    completed: int = 0
    failed: int = 0
    in_flight: int = 0
    unprocessed: int = 0

    @property
    def done(self) -> int:
        """The number of images in a terminal state."""
        return self.completed + self.failed


class BytesAnswer(Answer):
    """The sizes of all completed images together, in bytes."""

    in_: Annotated[int, Field(alias="in")] = 0
    out: int = 0


class Submission(Answer):
    """The answer to an upload. The `request_id` of a dry run is empty."""

    request_id: str = ""
    status: str | None = None
    message: str | None = None
    valid: bool = True
    counts: CountsAnswer = CountsAnswer()
    rejected_rows: list[RowProblem] = []

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if not self.request_id and "valid" not in self.model_fields_set:
            raise ValueError("an accepted upload has a requestId, and a dry run says whether the file is valid")
        return self


class ImageErrorAnswer(Answer):
    """The reason why an image failed."""

    code: str
    message: str = ""


class OutputAnswer(Answer):
    """One of several outputs of an image."""

    name: str
    url: str
    bytes: int
    width: int
    height: int
    format: str
    quality: int | None = None
    decision: str


class ImageAnswer(Answer):
    """One image, aligned with its product's `input_image_urls`."""

    status: str
    error: ImageErrorAnswer | None = None
    http_status: int | None = None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cpu_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    quality: int | None = None
    decision: str | None = None
    outputs: list[OutputAnswer] = []


class ProductAnswer(Answer):
    """One row of the catalogue with its results."""

    row: int
    serial_number: int
    product_name: str
    input_image_urls: list[str]
    output_image_urls: list[str | None]
    processing_status: str
    images: list[ImageAnswer] = []


class FailureAnswer(Answer):
    """The number of images that failed with one code."""

    code: str
    count: int
    sample_url: str | None = None


class WebhookAnswer(Answer):
    """The URL of the callback, and whether the endpoint has accepted it."""

    url: str
    triggered: bool = False
    attempts: int = 0


class RequestSummary(Answer):
    """A request without its products."""

    request_id: str
    status: str
    progress: float = 0
    reason: str | None = None
    paused: bool = False
    stopping: str | None = None
    priority: int | None = None
    counts: CountsAnswer = CountsAnswer()
    bytes: BytesAnswer = BytesAnswer()
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    eta_seconds: float | None = None
    filename: str | None = None
    webhook: WebhookAnswer | None = None

    @property
    def terminal(self) -> bool:
        """Whether the request has ended, so that nothing changes any more."""
        return self.status in TERMINAL_STATES

    @property
    def seconds(self) -> float | None:
        """The seconds from acceptance to the end. None means that the request has not ended."""
        if self.created_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.created_at).total_seconds()


class RequestStatus(RequestSummary):
    """A request with one page of its products."""

    products: list[ProductAnswer] = []
    failures: list[FailureAnswer] = []
    next_cursor: str | None = None


class RequestPage(Answer):
    """One page of requests, newest first."""

    requests: list[RequestSummary]
    next_cursor: str | None = None


class DeliveryAnswer(Answer):
    """One entry of the webhook outbox."""

    delivery_id: str
    event: str
    state: str
    attempts: int = 0
    next_attempt_at: datetime | None = None
    responses: list[dict[str, Any]] = []


class DeliveryPage(Answer):
    """The webhook outbox of a request."""

    deliveries: list[DeliveryAnswer]


class Readiness(Answer):
    """The health check of the service. `checks` has its result for each part, by the part's name."""

    ready: bool = False  # by the status of the answer
    checks: dict[str, Any]
