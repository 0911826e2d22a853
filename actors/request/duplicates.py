"""Images of one URL within a request: one of them is done, and the others get its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import StaleEpochError, StoreUnavailableError
from cluster.mongo.products import FencedWrite, ImageResult
from cluster.records import Decision, Image, Status
from cluster.redis.progress import CountedImage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from cluster.mongo.products import ProductStore
    from cluster.records import ProcessingRequest, Product
    from cluster.redis.progress import Progress

_PAGE_PRODUCTS = 200


class _Duplicate(NamedTuple):
    """The result of a duplicate."""

    ordinal: int  # of the duplicate, in the request
    result: ImageResult


async def settle_duplicates(
    request: ProcessingRequest,
    products: ProductStore,
    progress: Progress,
    *,
    request_rebuild: Callable[[], None],
    until: asyncio.Event,
) -> None:
    """Give every duplicate the result of its original. All originals are terminal already.

    Args:
        request: The request.
        products: The products of the deployment.
        progress: Counts the results.
        request_rebuild: Called when Redis has missed results.
        until: Ends the work early.

    Raises:
        StaleEpochError: A newer coordinator has claimed the request.
        StoreUnavailableError: MongoDB does not answer.
    """
    after_row = 0
    while not until.is_set() and (
        page := await products.unfinished(request.request_id, after_row=after_row, limit=_PAGE_PRODUCTS)
    ):
        after_row = page[-1].row
        found = await _duplicates(request.request_id, page, products)
        if not found:
            continue
        results = [each.result for each in found]
        if await products.record_results(request.request_id, request.epoch, results) is FencedWrite.REFUSED:
            raise StaleEpochError(request.request_id)
        counted = [CountedImage.of(each.ordinal, each.result.image) for each in found]
        try:
            await progress.count(request.request_id, counted)
        except StoreUnavailableError:
            request_rebuild()


async def _duplicates(request_id: str, page: list[Product], products: ProductStore) -> list[_Duplicate]:
    waiting = [
        (product, index, image.duplicate_of)
        for product in page
        for index, image in enumerate(product.images)
        if image.duplicate_of is not None and image.status is Status.PENDING
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
    """Return the result of an image as the result of its duplicate, which cost no compression."""
    image = image.model_copy(update={"cpu_seconds": None})
    if image.status is not Status.COMPLETED:
        return image
    outputs = [output.model_copy(update={"decision": Decision.DEDUPLICATED}) for output in image.outputs]
    return image.model_copy(update={"decision": Decision.DEDUPLICATED, "outputs": outputs})
