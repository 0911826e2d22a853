"""The images of a request that are to be done, in the order they may be done."""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import deque
from typing import TYPE_CHECKING

from actors.messages import WorkItem
from cluster.http.url import host_of
from cluster.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cluster.mongo.products import ProductStore
    from cluster.records import Product

_PAGE_PRODUCTS = 200
_PAGES_AT_ONCE = 10
_MAX_WAITING = 10_000  # images between two attempts; past that, no new ones are read
_MAX_RESTING_PART = 0.5  # of them, for those whose hosts rest; past that, they are passed over
_INDEX_BITS = 20


class Feed:
    """Reads unfinished products page by page, and keeps the images that wait for another attempt.

    Its memory is bounded by one page and `_MAX_WAITING` images, however long the request is, and by eight bytes for
    each image that was passed over because its host rests.

    Args:
        products: The collection.
        request_id: The request.
        clock: Seconds, monotonic.
    """

    def __init__(self, products: ProductStore, request_id: str, clock: Callable[[], float]) -> None:
        self._products = products
        self._request_id = request_id
        self._clock = clock
        self._ready: deque[WorkItem] = deque()
        self._slow: deque[WorkItem] = deque()  # ready, too, but their sources keep a core waiting
        self._waiting: list[tuple[float, int, WorkItem]] = []
        self._order = itertools.count()
        self._resting: dict[str, float] = {}  # hosts that are not to be asked before that time
        self._passed_over = array("Q")  # row and index; they are read again at the end
        self._after_row = 0
        self._read_all = False

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left, neither now nor later."""
        return self._read_all and not (self._ready or self._slow or self._waiting or self._passed_over)

    @property
    def ready(self) -> int:
        """How many images of those read so far can be done now, on a core."""
        self._wake_due()
        return len(self._ready)

    @property
    def slow(self) -> int:
        """How many can be done now, by waiting for their sources."""
        self._wake_due()
        return len(self._slow)

    @property
    def seconds_to_next(self) -> float | None:
        """How long until the next waiting image may be done; None when none waits."""
        return max(0.0, self._waiting[0][0] - self._clock()) if self._waiting else None

    @property
    def has_more(self) -> bool:
        """Whether there are images that were not read yet, and room for them."""
        if self._read_all:
            return bool(self._passed_over) and self._may_rest
        return len(self._waiting) + len(self._slow) < _MAX_WAITING

    @property
    def _may_rest(self) -> bool:
        return len(self._waiting) < _MAX_RESTING_PART * _MAX_WAITING

    async def refill(self, wanted: int) -> None:
        """Read on until as many images are ready, or there are no more; a few pages at once when some are ready.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        pages = 0
        while self.ready < wanted and self.has_more and not (self.ready and pages >= _PAGES_AT_ONCE):
            pages += 1
            await (self._read_passed_over() if self._read_all else self._read_page())

    async def _read_page(self) -> None:
        products = await self._products.unfinished(self._request_id, after_row=self._after_row, limit=_PAGE_PRODUCTS)
        self._ready.extend(unfinished_items(products))
        self._read_all = len(products) < _PAGE_PRODUCTS
        if products:
            self._after_row = products[-1].row

    async def _read_passed_over(self) -> None:
        wanted = set(self._passed_over[:_PAGE_PRODUCTS])
        products = await self._products.rows(self._request_id, {each >> _INDEX_BITS for each in wanted})
        del self._passed_over[:_PAGE_PRODUCTS]
        self._ready.extend(item for item in unfinished_items(products) if _place(item) in wanted)

    def take(self, limit: int) -> tuple[WorkItem, ...]:
        """The next images to do on a core, all with the same `batch_limit`, which they keep to."""
        return self._taken(self._ready, limit)

    def take_slow(self, limit: int) -> tuple[WorkItem, ...]:
        """The next images whose sources are waited for; the same holds for them."""
        return self._taken(self._slow, limit)

    def _taken(self, queue: deque[WorkItem], limit: int) -> tuple[WorkItem, ...]:
        self._wake_due()
        self._resting = {host: until for host, until in self._resting.items() if until > self._clock()}
        taken: list[WorkItem] = []
        while queue and len(taken) < limit:
            if taken and taken[0].batch_limit != queue[0].batch_limit:
                break
            item = queue.popleft()
            until = self._resting.get(host_of(item.url)) if self._resting else None
            if until is None:
                taken.append(item)
                limit = min(limit, item.batch_limit or limit)
            elif item.batch_limit is None and not self._may_rest:
                self._passed_over.append(_place(item))
            else:
                heapq.heappush(self._waiting, (until, next(self._order), item))
        return tuple(taken)

    def pause_host(self, item: WorkItem, seconds: float) -> None:
        """Give out no image of this one's host for a while."""
        self._resting[host_of(item.url)] = self._clock() + seconds

    def put_back(self, items: Iterable[WorkItem]) -> None:
        """These were not done after all: they are the next."""
        for item in reversed(list(items)):
            (self._slow if item.is_slow else self._ready).appendleft(item)

    def put_later(self, item: WorkItem, delay_seconds: float) -> None:
        """This one waits before it is done."""
        heapq.heappush(self._waiting, (self._clock() + delay_seconds, next(self._order), item))

    def _wake_due(self) -> None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            item = heapq.heappop(self._waiting)[2]
            (self._slow if item.is_slow else self._ready).append(item)


def _place(item: WorkItem) -> int:
    return item.row << _INDEX_BITS | item.index


def unfinished_items(products: Iterable[Product]) -> list[WorkItem]:
    """The images of these products that are not terminal, and are not done by another one."""
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
        if image.repeats is None and image.status in (Status.PENDING, Status.PROCESSING)
    ]
