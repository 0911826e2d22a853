"""Reuses the results of earlier requests for images with the same source and options."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from actors.imaging.formats import EXTENSIONS
from cluster.errors import StoreUnavailableError
from cluster.records import Decision, Output
from cluster.redis.result_cache import KnownResult, KnownSource, ResultCache
from cluster.s3.object_writer import object_key

if TYPE_CHECKING:
    from actors.messages import Batch, WorkItem
    from cluster.http.download import Download
    from cluster.s3.object_writer import ObjectWriter

logger = logging.getLogger("darkroom.image_worker")


class Reuse:
    """The results that one batch takes from earlier requests and leaves for later ones.

    While Redis is away, a batch takes nothing and leaves nothing.

    Args:
        cache: The known sources and results.
        objects: Copies outputs.
        batch: The batch.
    """

    def __init__(self, cache: ResultCache, objects: ObjectWriter, batch: Batch) -> None:
        self._cache = cache
        self._objects = objects
        self._batch = batch
        self._scope = cache.scope(batch.owner, batch.options)
        self._is_away = False
        self._known: dict[str, KnownSource] = {}
        self._new_sources: dict[str, KnownSource] = {}
        self._new_results: dict[str, KnownResult] = {}

    async def look_up(self) -> None:
        """Look up the URLs of the batch: their content when they were last fetched."""
        try:
            self._known = await self._cache.sources(self._scope, [item.url for item in self._batch.items])
        except StoreUnavailableError as error:
            self._give_up(error)

    def _give_up(self, error: StoreUnavailableError) -> None:
        """Ask no more, since a Redis that hangs would cost each image its time limit."""
        self._is_away = True
        logger.warning("no result is reused: %s", error)

    def etag(self, url: str) -> str | None:
        """Return the ETag of the known content of a URL. The source then says whether it still has it."""
        known = self._known.get(url)
        return None if known is None else known.etag

    def forget(self, url: str) -> None:
        """Forget the known content of a URL."""
        self._known.pop(url, None)

    def content_of(self, item: WorkItem, source: Download) -> str:
        """Return the SHA-256 of the bytes of a source."""
        if source.not_modified:
            return self._known[item.url].content
        content = hashlib.sha256(source.data).hexdigest()
        if source.etag is not None:
            self._new_sources[item.url] = KnownSource(etag=source.etag, content=content)
        return content

    async def copy_result(self, item: WorkItem, content: str) -> KnownResult | None:
        """Copy the outputs of an earlier image with the same content to this one. None when there are none."""
        if self._is_away:
            return None
        try:
            known = await self._cache.result(self._scope, content)
        except StoreUnavailableError as error:
            self._give_up(error)
            return None
        return None if known is None else await self._copy(item, known)

    async def _copy(self, item: WorkItem, known: KnownResult) -> KnownResult | None:
        outputs: list[Output] = []
        for output in known.outputs:
            key = object_key(self._batch.request_id, item.row, item.index, EXTENSIONS[output.format], output.name)
            try:
                if key != output.key and not await self._objects.copy(output.key, key):
                    return None
            except StoreUnavailableError as error:  # if S3 is really away, the put that follows says so
                logger.warning("a result is not reused: %s", error)
                return None
            outputs.append(output.model_copy(update={"key": key, "decision": Decision.DEDUPLICATED}))
        return known.model_copy(update={"outputs": outputs})

    def learn(self, content: str, result: KnownResult) -> None:
        """Keep the result of a content until the next `keep`."""
        self._new_results[content] = result

    async def keep(self) -> None:
        """Leave the new sources and results for later requests."""
        if self._is_away or not (self._new_sources or self._new_results):
            return
        try:
            await self._cache.keep(self._scope, sources=self._new_sources, results=self._new_results)
        except StoreUnavailableError as error:
            self._give_up(error)
        self._new_sources, self._new_results = {}, {}
