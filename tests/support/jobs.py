"""Jobs sent to the service by its client, and checks that hold for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from cluster.client import Darkroom, Delivery, Product, RequestStatus
    from tests.support.service import Service

_UPLOAD_SECONDS = 40


def finished(
    darkroom: Darkroom,
    file: bytes,
    *,
    timeout_seconds: float = 60,
    **form: Any,  # noqa: ANN401 - as `submit` takes them
) -> tuple[RequestStatus, list[Product]]:
    """Submit, wait for the end, and check the rules of every request that has ended."""
    submission = darkroom.submit(file, **form)
    seen: list[float] = []
    status = darkroom.wait(
        submission.request_id,
        timeout_seconds=timeout_seconds,
        poll_seconds=0.1,
        on_progress=lambda each: seen.append(each.progress),
    )
    counts = status.counts
    assert seen == sorted(seen)
    assert seen[-1] == status.progress == 100
    assert all(progress < 100 for progress in seen[:-1])
    assert counts.completed + counts.failed == counts.images
    assert counts.in_flight == counts.unprocessed == 0
    return status, list(darkroom.products(submission.request_id))


def delivered(darkroom: Darkroom, request_id: str) -> list[Delivery]:
    def is_over() -> bool:
        return all(each.state != "pending" for each in darkroom.deliveries(request_id))

    wait_until(is_over, "the webhook was delivered or given up")
    return darkroom.deliveries(request_id)


def codes(product: Product) -> list[str | None]:
    return [image.error.code if image.error else None for image in product.images]


def upload(service: Service, file: bytes, *, idempotency_key: str | None = None) -> httpx.Response:
    """Upload a catalogue once, without the patience of the client."""
    key = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    return httpx.post(
        f"{service.url}/api/upload",
        files={"file": file},
        headers={**service.authorization, **key},
        timeout=_UPLOAD_SECONDS,
        trust_env=False,
    )


def check_refused(answer: httpx.Response) -> None:
    """Check that an upload was not accepted, and that the answer says when to try again."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
