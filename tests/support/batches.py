"""Images and batches as a coordinator sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.messages import Batch, WorkItem
from cluster.options import ImageOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_ROW = 2


def work_item(row: int = FIRST_ROW, **fields: Any) -> WorkItem:  # noqa: ANN401 - any field
    """The first attempt at the only image of a row, unless the fields say otherwise."""
    url = f"https://shop.example/{row}.jpg"
    usual: dict[str, Any] = {"row": row, "index": 0, "ordinal": row - FIRST_ROW, "url": url, "attempt": 1}
    return WorkItem(**(usual | fields))


def work_items(count: int, **fields: Any) -> tuple[WorkItem, ...]:  # noqa: ANN401 - any field
    """The first attempts at the images of several rows."""
    return tuple(work_item(FIRST_ROW + place, **fields) for place in range(count))


def batch_of(items: Iterable[WorkItem], *, number: int = 1, is_io_bound: bool = False) -> Batch:
    return Batch("req_1", "key", 1, number, ImageOptions(), tuple(items), is_io_bound)
