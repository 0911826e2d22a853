"""What a client may ask of a request that was accepted: cancel, pause, resume, hurry, retry, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cluster.client.answers import RequestSummary
from cluster.client.transport import checked, document, quoted, retried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.client.transport import Transport


class RequestOrders:
    """The part of the client that changes requests. All but `retry` may be repeated and change nothing then."""

    _transport: Transport

    def cancel(self, request_id: str) -> RequestSummary:
        """End a request; what is done stays. The same again changes nothing.

        Raises:
            ApiError: Code `already_ended`.
        """
        return self._order(request_id, "cancel")

    def pause(self, request_id: str) -> RequestSummary:
        """Hold a request until it is resumed. Raises `ApiError`, code `already_ended`."""
        return self._order(request_id, "pause")

    def resume(self, request_id: str) -> RequestSummary:
        """Let a paused request go on. Raises `ApiError`, code `already_ended`."""
        return self._order(request_id, "resume")

    def set_priority(self, request_id: str, priority: int) -> RequestSummary:
        """Change the priority of a request, whether it waits or runs. Raises `ApiError`, code `already_ended`."""
        path = f"/api/requests/{quoted(request_id)}"
        response = retried(lambda: self._transport.send("PATCH", path, json={"priority": priority}))
        return RequestSummary.model_validate(document(response))

    def retry(self, request_id: str, *, codes: Iterable[str] | None = None) -> RequestSummary:
        """Do the failed images of an ended request again.

        Args:
            request_id: Which request.
            codes: Only images that failed with one of these; all if not given.

        Raises:
            ApiError: Code `still_running` or `nothing_to_retry`.
        """
        path = f"/api/requests/{quoted(request_id)}/retry"
        body = {} if codes is None else {"codes": list(codes)}
        return RequestSummary.model_validate(document(checked(self._transport.send("POST", path, json=body))))

    def delete(self, request_id: str) -> None:
        """Delete an ended request with its records and outputs. Raises `ApiError`, code `still_running`."""
        checked(self._transport.send("DELETE", f"/api/requests/{quoted(request_id)}"))

    def _order(self, request_id: str, order: Literal["cancel", "pause", "resume"]) -> RequestSummary:
        path = f"/api/requests/{quoted(request_id)}/{order}"
        return RequestSummary.model_validate(document(retried(lambda: self._transport.send("POST", path))))
