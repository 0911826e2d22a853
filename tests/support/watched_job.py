"""A job under fault, watched from its upload to its webhook as its client would, and checked against every promise."""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from cluster.client.transport import is_transient
from cluster.errors import ApiError
from tests.support.catalogues import catalogue
from tests.support.jobs import delivered
from tests.support.origin import reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until
from tests.unit.actors.imaging.pictures import run as compressed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.client import Darkroom, Product, RequestStatus
    from tests.support.origin import Exchange, Origin, ReceivedRequest

POLL_SECONDS = 0.1
ON_THEIR_WAY_SECONDS = 1.0  # a client may see images so long after they were done
HOOK = "/hook"
OPTIONS = {"quality": 60}
INTERNAL_ERROR = "internal_error"  # a defect, after any fault
ENDS = frozenset({"completed", "failed"})


class Site(Protocol):
    """The service that does a job."""

    def clients(self) -> list[Darkroom]:
        """Return a client for each address of the service."""

    def object_keys(self, prefix: str) -> set[str]:
        """Return the keys of all objects under a prefix."""


def is_away(error: ApiError) -> bool:
    """Return whether the service may answer so while a part of it is dead."""
    return is_transient(error) and error.code != INTERNAL_ERROR


@functools.cache  # all jobs have the same ones
def picture(number: int) -> bytes:
    """Return the picture of a row, counted from 0."""
    return jpeg(seed=number)


@functools.cache
def output(number: int) -> bytes:
    """Return the output of the picture of a row."""
    return compressed(picture(number), **OPTIONS).data


def check_outputs(products: Iterable[Product]) -> None:
    """Check that the outputs under their links are the same bytes as without any fault."""
    with httpx.Client(trust_env=False) as http:
        for product in products:
            answer = http.get(str(product.output_image_urls[0])).raise_for_status()
            assert answer.content == output(product.row - 2), product.row


class WatchedJob:
    """A job of `images` products with one picture each, which is started and polled within the block.

    Its client uses the next address when one does not answer, as behind a load balancer.

    Args:
        site: The service that does the job.
        origin: The source of the pictures, and the receiver of the webhook.
        images: The number of pictures.
        slow_seconds: How long the origin takes for each picture.
        hook_failures: The share of calls that the webhook's endpoint answers with 500.
        seed: The seed of these failures.
    """

    def __init__(
        self,
        site: Site,
        origin: Origin,
        *,
        images: int,
        slow_seconds: float,
        hook_failures: float = 0,
        seed: int = 0,
    ) -> None:
        self._site = site
        self.origin = origin
        self._images = images
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated
        self._hook_failures = hook_failures
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="poller")
        self._clients = site.clients()
        self._way = 0
        self.request_id = ""
        self.seen: list[tuple[float, RequestStatus]] = []  # when, of time.monotonic(), and what
        self.accepted_too_early: list[str] = []
        self.refuses_hook = False
        self.unanswered = 0  # questions how far it is
        self._done_by: list[tuple[set[str], int]] = []  # pictures, and the number of fetches before they were done
        self._paths = [f"/{number}.jpg" for number in range(images)]
        for number, path in enumerate(self._paths):
            origin.route(path, slow_headers(slow_seconds, reply(picture(number))))
        origin.route(HOOK, self._answer_hook)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def _start(self) -> None:
        submission = self._darkroom.submit(
            catalogue(*[[self.origin.url + path] for path in self._paths]),
            webhook_url=f"{self.origin.url}{HOOK}",
            options=OPTIONS,
        )
        self.request_id = submission.request_id
        self._poller.start()

    def __exit__(self, failed: object, *_: object) -> None:
        self._stopping.set()
        self._poller.join()
        if failed:  # the next job is to find the site idle
            with contextlib.suppress(ApiError):
                self._darkroom.cancel(self.request_id)
        self._close()

    def _close(self) -> None:
        for client in self._clients:
            client.close()

    @property
    def _darkroom(self) -> Darkroom:
        """The client of the address that answered last."""
        return self._clients[self._way]

    @property
    def done(self) -> int:
        """The number of images that a client has seen done."""
        return self.seen[-1][1].counts.completed if self.seen else 0

    @property
    def fetches(self) -> list[str]:
        """The pictures in the order of their fetches. A picture that was fetched twice is there twice."""
        ours = set(self._paths)
        return [request.path for request in self.origin.requests if request.path in ours]

    @property
    def fetched(self) -> int:
        """The number of fetches of all pictures."""
        return len(self.fetches)

    @property
    def hook_calls(self) -> list[ReceivedRequest]:
        """All calls of the webhook so far."""
        return self.origin.requests_to(HOOK)

    def await_done(self, images: int, *, timeout_seconds: float = 90) -> None:
        wait_until(lambda: self.done >= images, f"{images} images are done", timeout_seconds=timeout_seconds)

    def note_done(self) -> None:
        """Note the pictures that are done by now and must not be fetched again."""
        products = self._darkroom.products(self.request_id, product_status="completed")
        done = {self._paths[product.row - 2] for product in products}
        self._done_by.append((done, self.fetched))

    def seconds_until_work_went_on(self, fault_at: float, *, timeout_seconds: float = 120) -> float:
        """Return the seconds from a fault, of `time.monotonic()`, to the first poll with another image done."""
        settled_at = fault_at + ON_THEIR_WAY_SECONDS

        def first() -> float | None:
            seen = list(self.seen)
            before = max((status.counts.completed for at, status in seen if at <= settled_at), default=0)
            later = (at for at, status in seen if at > settled_at and status.counts.completed > before)
            assert before < self._images, "the job was over before work could go on"
            return next(later, None)

        wait_until(lambda: first() is not None, "work goes on", timeout_seconds=timeout_seconds)
        return (first() or fault_at) - fault_at

    def seconds_until_hook_is_called(self, fault_at: float, *, timeout_seconds: float = 120) -> float:
        """Return the seconds from a fault, of `time.monotonic()`, to the next call of the webhook."""

        def first() -> float | None:
            return next((call.at for call in self.hook_calls if call.at > fault_at), None)

        wait_until(lambda: first() is not None, "the webhook comes", timeout_seconds=timeout_seconds)
        return (first() or fault_at) - fault_at

    def await_end(self, *, timeout_seconds: float = 180) -> None:
        def is_over() -> bool:
            return bool(self.seen) and self.seen[-1][1].status in ENDS

        wait_until(is_over, "the request has ended", timeout_seconds=timeout_seconds)

    def check(self, *, deliveries: int = 1, fetched_again: int = 0) -> None:
        """Check that nothing was lost or is there twice, progress never fell, and the webhook came in time.

        From here on the pictures come at once, because all faults of the job are over.

        Args:
            deliveries: The number of deliveries. A request that was tried again has one for each end.
            fetched_again: How many pictures may have been fetched once more: those that were in flight.
        """
        self.origin.end_pauses()
        self.await_end()
        last = self.seen[-1][1]
        assert (last.status, last.progress) == ("completed", 100)
        assert (last.counts.completed, last.counts.failed, last.counts.images) == (self._images, 0, self._images)
        shown = [status.progress for _, status in self.seen]
        assert shown == sorted(shown)
        assert self._site.object_keys(self.request_id) == {
            f"{self.request_id}/{row}/0.jpg" for row in range(2, self._images + 2)
        }
        products = list(self._darkroom.products(self.request_id))
        assert [product.row for product in products] == list(range(2, self._images + 2))
        assert {product.processing_status for product in products} == {"completed"}
        assert {image.status for product in products for image in product.images} == {"completed"}
        check_outputs(products)
        assert last.bytes.out == sum(product.images[0].bytes_out for product in products)
        assert len(set(self.fetches)) == self._images
        again = self.fetched - self._images
        assert again <= fetched_again, f"{again} pictures were fetched again"
        for done, fetched in self._done_by:
            assert not done & set(self.fetches[fetched:])
        self._check_hook(deliveries)

    def _check_hook(self, deliveries: int) -> None:
        made = delivered(self._darkroom, self.request_id)
        assert [each.state for each in made] == ["delivered"] * deliveries
        calls = self.hook_calls
        assert {call.headers["webhook-id"] for call in calls} <= {each.delivery_id for each in made}
        assert calls[-1].headers["webhook-id"] == made[-1].delivery_id
        assert self.accepted_too_early == []

    def _poll(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                self.seen.append((time.monotonic(), self._darkroom.status(self.request_id, limit=1)))
            except ApiError as error:
                if not is_away(error):
                    raise
                self.unanswered += 1
                self._way = (self._way + 1) % len(self._clients)

    def _answer_hook(self, exchange: Exchange) -> None:
        with contextlib.suppress(BotoCoreError, ClientError, httpx.HTTPError):  # then nobody can say; it comes again
            try:
                unreadable = self._unreadable()
            except ApiError as error:
                if is_away(error):
                    return reply(status=500)(exchange)
                unreadable = str(error)
            if unreadable is not None:
                self.accepted_too_early.append(unreadable)
            if not self.refuses_hook and self._chance.random() >= self._hook_failures:
                return reply(status=204)(exchange)
        return reply(status=500)(exchange)

    def _unreadable(self) -> str | None:
        """Return which results a client cannot read now."""
        status = self._darkroom.status(self.request_id, limit=1).status
        products = list(self._darkroom.products(self.request_id))
        unfinished = [each.row for each in products if each.processing_status not in ENDS]
        completed = [each for each in products if each.processing_status == "completed"]
        keys = {f"{self.request_id}/{each.row}/0.jpg" for each in completed}
        missing = keys - self._site.object_keys(self.request_id)
        if status in ENDS and len(products) == self._images and not unfinished and not missing:
            check_outputs(completed[:1])
            return None
        return f"{status}, {len(products)} products, not finished: {unfinished}, not in the bucket: {missing}"
