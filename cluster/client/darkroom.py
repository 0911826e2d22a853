"""The synchronous client of the HTTP API of Darkroom."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import httpx

from cluster.client.answers import (
    DeliveryAnswer,
    DeliveryPage,
    ProductAnswer,
    Readiness,
    RequestPage,
    RequestStatus,
    RequestSummary,
    Submission,
)
from cluster.client.transport import (
    Deadline,
    Transport,
    answer,
    checked,
    is_transient,
    not_darkroom,
    quoted,
    retried,
    retry_after_seconds,
)
from cluster.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_POLL_SECONDS = 1.0
MAX_OUTAGE_SECONDS = 60.0
PAGE_LIMIT = 100
_MEDIA_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl"}


class Darkroom:
    """A Darkroom service.

    Every method raises `ApiError` if the service refuses. The error holds the status, the stable code and the problem
    document. Without any answer the status is 0, and the code is `unreachable` or `answer_lost`.

    Args:
        url: The address of the service, for example `http://127.0.0.1:8000`.
        api_key: A key from `darkroom keys create`.
        timeout_seconds: The longest silence of the service that counts as normal.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self._transport = Transport(url, api_key=api_key, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def url(self) -> str:
        """The address of the service, without a slash at the end."""
        return self._transport.url

    def submit(
        self,
        catalogue: str | Path | bytes,
        *,
        filename: str | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        options: Mapping[str, object] | None = None,
        on_invalid_row: Literal["reject", "skip"] | None = None,
        dry_run: bool = False,
        columns: Mapping[str, str] | None = None,
        priority: int | None = None,
        deadline_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Submission:
        """Upload a catalogue.

        The call is repeated a few times if the service is busy (429 or 503 with `Retry-After`) or its answer was lost.
        All repeats carry one idempotency key, so the catalogue is never processed twice.

        Args:
            catalogue: The path of the CSV, or its bytes.
            filename: The name of the request. The name of the path is the default.
            webhook_url: The URL that is called when the request ends.
            webhook_secret: `whsec_` and base64. It signs the call. The secret of the API key is the default.
            options: The options of the images: `format`, `quality`, `maxWidth`, `maxHeight`, `background`,
                `keepMetadata`.
            on_invalid_row: `reject` refuses the file for one invalid row, and `skip` skips that row. The service has
                `reject` as its default.
            dry_run: Validate and store nothing.
            columns: The names of the columns in this catalogue, by the names that the service documents.
            priority: 0 to 9, 9 first.
            deadline_seconds: The time after which the request fails if it has not ended.
            idempotency_key: A key that makes a repeated call answer as the first one did. It is random by default.

        Raises:
            ApiError: Code `invalid_catalogue`, the CSV has errors. They are in `problem["errors"]`.
        """
        form = {
            "webhookUrl": webhook_url,
            "webhookSecret": webhook_secret,
            "options": json.dumps(dict(options)) if options else None,
            "onInvalidRow": on_invalid_row,
            "dryRun": "true" if dry_run else None,
            "columns": json.dumps(dict(columns)) if columns else None,
            "priority": None if priority is None else str(priority),
            "deadlineSeconds": None if deadline_seconds is None else str(deadline_seconds),
        }
        response = self._transport.upload(
            "/api/upload",
            catalogue,
            filename=filename,
            form={name: value for name, value in form.items() if value is not None},
            headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
        )
        return answer(Submission, response)

    def status(
        self, request_id: str, *, limit: int | None = None, cursor: str | None = None, product_status: str | None = None
    ) -> RequestStatus:
        """Return the status of a request, with one page of its products.

        Args:
            request_id: The id of the request.
            limit: The limit on products in the page.
            cursor: The `next_cursor` of the page before.
            product_status: Return only products in this state.
        """
        response = self._transport.get(
            f"/api/status/{quoted(request_id)}", limit=limit, cursor=cursor, productStatus=product_status
        )
        return answer(RequestStatus, response)

    def products(self, request_id: str, *, product_status: str | None = None) -> Iterator[ProductAnswer]:
        """Yield all products of a request in the order of the file. They are read page by page."""
        cursor = None
        while True:
            page = self.status(request_id, limit=PAGE_LIMIT, cursor=cursor, product_status=product_status)
            yield from page.products
            cursor = page.next_cursor
            if cursor is None:
                return

    def wait(
        self,
        request_id: str,
        *,
        timeout_seconds: float | None = None,
        poll_seconds: float | None = None,
        on_progress: Callable[[RequestStatus], None] | None = None,
    ) -> RequestStatus:
        """Wait until a request is completed or failed. A service that goes away has a minute to come back.

        Args:
            request_id: The id of the request.
            timeout_seconds: The limit on the wait. None waits for ever.
            poll_seconds: The pause between two polls. By default it is the pause that the service asks for.
            on_progress: A function that is called with every status, including the last one.

        Raises:
            TimeoutError: The request has not ended. It goes on without the client.
        """
        waiting = Deadline(timeout_seconds)
        status, asked_seconds = self._poll(request_id)
        while True:
            if on_progress is not None:
                on_progress(status)
            if status.terminal:
                return status
            pause_seconds = poll_seconds or asked_seconds or DEFAULT_POLL_SECONDS
            if not waiting.sleep(pause_seconds):
                after = f"is still {status.status} after {timeout_seconds} s"
                raise TimeoutError(f"Request {request_id} {after}. It goes on without the client.")
            status, asked_seconds = self._poll_through_outage(request_id, pause_seconds=pause_seconds)

    def requests(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> RequestPage:
        """Return one page of the requests of the API key, newest first."""
        return answer(RequestPage, self._transport.get("/api/requests", status=status, limit=limit, cursor=cursor))

    def results(
        self,
        request_id: str,
        *,
        file_format: Literal["csv", "jsonl"] = "csv",
        only: Literal["all", "failed"] = "all",
    ) -> Iterator[bytes]:
        """Yield the results in pieces, as they come. A running request gives the results so far."""
        path = f"/api/requests/{quoted(request_id)}/results.{file_format}"
        return self._transport.stream(path, media_type=_MEDIA_TYPES[file_format], only=only)

    def save_results(
        self,
        request_id: str,
        path: str | Path,
        *,
        file_format: Literal["csv", "jsonl"] = "csv",
        only: Literal["all", "failed"] = "all",
    ) -> int:
        """Write the results to a file, and return its size in bytes. The file appears only when it is complete."""
        target = Path(path)
        partial = target.with_name(f"{target.name}.part")
        try:
            with partial.open("wb") as file:
                size_bytes = sum(map(file.write, self.results(request_id, file_format=file_format, only=only)))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return size_bytes

    def cancel(self, request_id: str) -> RequestSummary:
        """Cancel a request. Finished images stay. A second call changes nothing.

        Raises:
            ApiError: Code `already_ended`, the request has ended in another way.
        """
        return self._change(request_id, "cancel")

    def pause(self, request_id: str) -> RequestSummary:
        """Pause a request until it is resumed. Raises `ApiError`, code `already_ended`."""
        return self._change(request_id, "pause")

    def resume(self, request_id: str) -> RequestSummary:
        """Resume a paused request. Raises `ApiError`, code `already_ended`."""
        return self._change(request_id, "resume")

    def set_priority(self, request_id: str, priority: int) -> RequestSummary:
        """Change the priority of a request that waits or runs. Raises `ApiError`, code `already_ended`."""
        path = f"/api/requests/{quoted(request_id)}"
        response = retried(lambda: self._transport.send("PATCH", path, json={"priority": priority}))
        return answer(RequestSummary, response)

    def retry(self, request_id: str, *, codes: Iterable[str] | None = None) -> RequestSummary:
        """Process the failed images of an ended request again.

        Args:
            request_id: The id of the request.
            codes: The error codes of the images to process again. By default they are all images that failed.

        Raises:
            ApiError: Code `still_running` or `nothing_to_retry`.
        """
        path = f"/api/requests/{quoted(request_id)}/retry"
        body = {} if codes is None else {"codes": list(codes)}
        return answer(RequestSummary, checked(self._transport.send("POST", path, json=body)))

    def delete(self, request_id: str) -> None:
        """Delete an ended request with its records and outputs. Raises `ApiError`, code `still_running`."""
        response = checked(self._transport.send("DELETE", f"/api/requests/{quoted(request_id)}"))
        if response.status_code != httpx.codes.NO_CONTENT:
            raise not_darkroom(response)

    def deliveries(self, request_id: str) -> list[DeliveryAnswer]:
        """Return the deliveries of the webhook of a request."""
        path = f"/api/requests/{quoted(request_id)}/deliveries"
        return answer(DeliveryPage, self._transport.get(path)).deliveries

    def redeliver(self, request_id: str, delivery_id: str) -> DeliveryAnswer:
        """Send a webhook once more, with the same id and body."""
        path = f"/api/requests/{quoted(request_id)}/deliveries/{quoted(delivery_id)}/redeliver"
        return answer(DeliveryAnswer, checked(self._transport.send("POST", path)))

    def ready(self) -> Readiness:
        """Return whether the service can take work, with each of its checks. Raises `ApiError`, code `starting`."""
        response = self._transport.send("GET", "/readyz")
        return answer(Readiness, response).model_copy(update={"ready": response.is_success})

    def _change(self, request_id: str, change: Literal["cancel", "pause", "resume"]) -> RequestSummary:
        path = f"/api/requests/{quoted(request_id)}/{change}"
        return answer(RequestSummary, retried(lambda: self._transport.send("POST", path)))

    def _poll(self, request_id: str) -> tuple[RequestStatus, float | None]:
        response = self._transport.get(f"/api/status/{quoted(request_id)}", limit=1)
        return answer(RequestStatus, response), retry_after_seconds(response)

    def _poll_through_outage(self, request_id: str, *, pause_seconds: float) -> tuple[RequestStatus, float | None]:
        outage = Deadline(MAX_OUTAGE_SECONDS)
        while True:
            try:
                return self._poll(request_id)
            except ApiError as error:
                if not is_transient(error) or not outage.sleep(pause_seconds):
                    raise
