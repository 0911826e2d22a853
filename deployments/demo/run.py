"""The demo's steps on a running service: serve, submit, wait, verify, fetch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.demo.catalogue import ROWS, write_catalogue
from deployments.demo.collect import collect, prepare
from deployments.demo.image_host import ImageHost
from deployments.demo.outcome import outcomes_of, surprises
from deployments.demo.receiver import ReceivedWebhook, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.client import Darkroom, Delivery, RequestStatus
    from deployments.demo.catalogue import CatalogueRow
    from deployments.demo.outcome import Outcome

PICTURES = Path(__file__).with_name("pictures")
OPTIONS = {"format": "keep", "quality": 75}
JOB_TIMEOUT_SECONDS = 120.0
WEBHOOK_WAIT_SECONDS = 30.0
STATUS_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class DemoReport:
    """The findings of the demo."""

    status: RequestStatus
    outcomes: list[Outcome]
    webhook: ReceivedWebhook | None
    delivery: Delivery | None
    seconds: float  # from the upload to the last image
    folder: Path
    surprises: list[str]  # a sentence for each result that is not as expected

    @property
    def images_per_second(self) -> float:
        """The images that have ended, by the seconds of the job."""
        return self.status.counts.done / self.seconds

    def document(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {
            "ok": not self.surprises,
            "surprises": self.surprises,
            "request": self.status.document(),
            "products": [outcome.product.document() for outcome in self.outcomes],
            "seconds": round(self.seconds, 2),
            "imagesPerSecond": round(self.images_per_second, 1),
            "webhook": None if self.webhook is None else _webhook_document(self.webhook, self.delivery),
            "output": str(self.folder),
        }


def run(
    service: Darkroom,
    folder: Path,
    *,
    rows: Sequence[CatalogueRow] = ROWS,
    pictures: Path = PICTURES,
    on_progress: Callable[[RequestStatus], None],
) -> DemoReport:
    """Send the catalogue through a service and fetch its results.

    Args:
        service: The service, which must be allowed to call 127.0.0.1.
        folder: The folder for `catalogue.csv`, `results.csv`, `originals/`, `pictures/` and `index.html`.
        rows: The catalogue.
        pictures: The folder that its pictures are in.
        on_progress: Called with every status seen.

    Raises:
        ApiError: The service refused or went away.
        TimeoutError: The job does not end.
    """
    prepare(folder)
    with ImageHost(pictures) as image_host, WebhookReceiver() as receiver:
        write_catalogue(folder / "catalogue.csv", rows, image_host)
        started = time.monotonic()
        status = _process(service, folder / "catalogue.csv", receiver, on_progress)
        seconds = time.monotonic() - started
        webhook = receiver.wait(timeout_seconds=WEBHOOK_WAIT_SECONDS)
        outcomes = outcomes_of(rows, list(service.products(status.request_id)))
        wrong_sizes = collect(outcomes, image_host, folder)
    service.save_results(status.request_id, folder / "results.csv")
    found = [*surprises(outcomes), *wrong_sizes, *_wrong_webhook(webhook, status)]
    delivery = _delivery(service, status.request_id, webhook)
    return DemoReport(status, outcomes, webhook, delivery, seconds, folder, found)


def _process(
    service: Darkroom,
    catalogue: Path,
    receiver: WebhookReceiver,
    on_progress: Callable[[RequestStatus], None],
) -> RequestStatus:
    submission = service.submit(
        catalogue,
        options=OPTIONS,
        webhook_url=receiver.webhook_url,
        webhook_secret=receiver.secret,
    )
    return service.wait(
        submission.request_id,
        timeout_seconds=JOB_TIMEOUT_SECONDS,
        poll_seconds=STATUS_POLL_SECONDS,
        on_progress=on_progress,
    )


def _wrong_webhook(webhook: ReceivedWebhook | None, status: RequestStatus) -> list[str]:
    if webhook is None:
        return [f"no webhook came within {WEBHOOK_WAIT_SECONDS:.0f} s"]
    if not webhook.signature_valid:
        return ["the webhook's signature is not valid"]
    if webhook.event != f"request.{status.status}":
        return [f"the webhook reports {webhook.event or 'nothing'}, but the request is {status.status}"]
    return []


def _delivery(service: Darkroom, request_id: str, webhook: ReceivedWebhook | None) -> Delivery | None:
    found = service.deliveries(request_id)
    return next((each for each in found if webhook and each.delivery_id == webhook.webhook_id), None)


def _webhook_document(webhook: ReceivedWebhook, delivery: Delivery | None) -> dict[str, Any]:
    return {
        "id": webhook.webhook_id,
        "event": webhook.event,
        "signatureValid": webhook.signature_valid,
        "attempts": delivery.attempts if delivery else None,
    }
