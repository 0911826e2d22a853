"""Reads the unfinished images of a request from MongoDB, page by page, when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.messages import WorkItem
from actors.request.image_queue import place_of, row_of
from cluster.records import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from actors.request.image_queue import ImageQueue
    from cluster.mongo.products import ProductStore
    from cluster.records import Product

_PAGE_PRODUCTS = 200
_MAX_PAGES = 10  # of one call, when some images are ready


class Feed:
    """Fills the queue of a request. Its memory is bounded by one page, however long the request is.

    Every method raises `StoreUnavailableError` when MongoDB does not answer.

    Args:
        products: The products of the deployment.
        request_id: The request.
        queue: The queue of this request.
    """

    def __init__(self, products: ProductStore, request_id: str, queue: ImageQueue) -> None:
        self._products = products
        self._request_id = request_id
        self._queue = queue
        self._after_row = 0
        self._has_read_all = False

    @property
    def is_exhausted(self) -> bool:
        """Whether no image is left, neither now nor later."""
        return self._has_read_all and not self._queue

    @property
    def has_more(self) -> bool:
        """Whether there are images that were not read yet, and room for them."""
        return self._queue.may_read_passed_over if self._has_read_all else self._queue.has_room

    async def refill(self, wanted: int) -> None:
        """Read until this many images are ready, or there are no more. When some are ready, a few pages are enough."""
        pages = 0
        while self._queue.ready < wanted and self.has_more and not (self._queue.ready and pages >= _MAX_PAGES):
            pages += 1
            await (self._read_passed_over() if self._has_read_all else self._read_page())

    async def _read_page(self) -> None:
        products = await self._products.unfinished(self._request_id, after_row=self._after_row, limit=_PAGE_PRODUCTS)
        self._queue.add(unfinished_items(products))
        self._has_read_all = len(products) < _PAGE_PRODUCTS
        if products:
            self._after_row = products[-1].row

    async def _read_passed_over(self) -> None:
        places = set(self._queue.passed_over[:_PAGE_PRODUCTS])
        products = await self._products.rows(self._request_id, {row_of(each) for each in places})
        del self._queue.passed_over[:_PAGE_PRODUCTS]
        self._queue.add(item for item in unfinished_items(products) if place_of(item) in places)

    async def unfinished_among(self, items: Collection[WorkItem]) -> tuple[WorkItem, ...]:
        """Return those images that are still to be done, as MongoDB says now."""
        products = await self._products.rows(self._request_id, {item.row for item in items})
        unfinished = {place_of(item) for item in unfinished_items(products)}
        return tuple(item for item in items if place_of(item) in unfinished)


def unfinished_items(products: Iterable[Product]) -> list[WorkItem]:
    """Return the images of products that are not terminal, but for duplicates of other images."""
    return [
        WorkItem(
            row=product.row,
            index=index,
            ordinal=product.first_image + index,
            url=product.input_image_urls[index],
            attempt=image.attempts + 1,
            failures=image.failures,
        )
        for product in products
        for index, image in enumerate(product.images)
        if image.duplicate_of is None and image.status in (Status.PENDING, Status.PROCESSING)
    ]
