"""Images of one URL within a request: one of them is done, the others get its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.products import FencedWrite, ImageResult
from cluster.records import Decision, Image, Status
from cluster.redis.progress import CountedImage

if TYPE_CHECKING:
    import asyncio

    from cluster.mongo.products import ProductStore
    from cluster.records import ProcessingRequest, Product
    from cluster.redis.progress import Progress

_PAGE_PRODUCTS = 200


class _Duplicate(NamedTuple):
    """A result, and where it counts."""

    ordinal: int
    result: ImageResult


async def settle_duplicates(
    request: ProcessingRequest, products: ProductStore, progress: Progress, *, until: asyncio.Event
) -> bool:
    """Give every image that waits for another the other's result; all that are not repeats are terminal.

    Args:
        request: The request.
        products: Its products.
        progress: Where they are counted.
        until: Ends it early.

    Returns:
        Whether progress knows of them all.

    Raises:
        StaleEpochError: A newer coordinator has claimed the request.
        StoreUnavailableError: MongoDB does not answer.
    """
    after_row, all_counted = 0, True
    while not until.is_set() and (
        page := await products.unfinished(request.request_id, after_row=after_row, limit=_PAGE_PRODUCTS)
    ):
        after_row = page[-1].row
        repeats = await _duplicates(request.request_id, page, products)
        if not repeats:
            continue
        results = [each.result for each in repeats]
        if await products.record_results(request.request_id, request.epoch, results) is FencedWrite.REFUSED:
            raise StaleEpochError(request.request_id)
        counted = [CountedImage.of(each.ordinal, each.result.image) for each in repeats]
        try:
            await progress.count(request.request_id, counted)
        except StoreUnavailableError:
            all_counted = False
    return all_counted


async def _duplicates(request_id: str, page: list[Product], products: ProductStore) -> list[_Duplicate]:
    waiting = [
        (product, index, image.repeats)
        for product in page
        for index, image in enumerate(product.images)
        if image.repeats is not None and image.status is Status.PENDING
    ]
    rows = {place.row for _, _, place in waiting}
    originals = {product.row: product for product in await products.rows(request_id, rows)} if rows else {}
    found = []
    for product, index, place in waiting:
        original = originals[place.row]
        image = original.images[place.index]
        if image.status.terminal:
            key = original.output_image_urls[place.index]
            result = ImageResult(product.row, index, shared(image), key)
            found.append(_Duplicate(product.first_image + index, result))
    return found


def shared(image: Image) -> Image:
    """The result of an image as that of another one."""
    if image.status is not Status.COMPLETED:
        return image
    outputs = [output.model_copy(update={"decision": Decision.DEDUPLICATED}) for output in image.outputs]
    return image.model_copy(update={"decision": Decision.DEDUPLICATED, "outputs": outputs})
