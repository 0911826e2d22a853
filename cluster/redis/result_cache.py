"""The results of earlier requests in Redis, so that one source is not compressed twice with the same options.

There are two kinds of keys. One holds the strong ETag and the SHA-256 of the content that a URL had at its last fetch.
The other holds the result of a content. Both belong to one owner and one set of options, and end after
`dedupe_seconds`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from cluster import __version__
from cluster.records import Output, Record
from cluster.redis.connection import OPTIONAL_TIMEOUT_SECONDS, connect_redis, redis_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.options import ImageOptions
    from cluster.settings import Settings

Known = TypeVar("Known", bound=Record)


class KnownSource(Record):
    """The content of a URL at its last fetch."""

    etag: str  # a strong one, as the source wrote it
    content: str  # SHA-256, hex


class KnownResult(Record):
    """The result of a content."""

    bytes_in: int
    outputs: list[Output]  # with the keys of stored objects, which may have been deleted since


class ResultCache:
    """Every method raises `StoreUnavailableError` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect_redis(settings, timeout_seconds=OPTIONAL_TIMEOUT_SECONDS)
        self._seconds = settings.dedupe_seconds

    def scope(self, owner: str, options: ImageOptions) -> str:
        """Return the prefix of the keys of one owner and one set of options.

        It holds the version of Darkroom too, because another one may encode differently.
        """
        told = f"{__version__} {owner} {options.model_dump_json()}"
        return f"darkroom:known:{hashlib.sha256(told.encode()).hexdigest()[:32]}"

    async def sources(self, scope: str, urls: Sequence[str]) -> dict[str, KnownSource]:
        """Return the known content of URLs."""
        with redis_errors():
            values = await self._redis.mget([_url_key(scope, url) for url in urls])
        known = {url: _read(KnownSource, value) for url, value in zip(urls, values, strict=True) if value}
        return {url: source for url, source in known.items() if source is not None}

    async def result(self, scope: str, content: str) -> KnownResult | None:
        """Return the known result of a content."""
        with redis_errors():
            value = await self._redis.get(_content_key(scope, content))
        return _read(KnownResult, value) if value else None

    async def keep(self, scope: str, *, sources: Mapping[str, KnownSource], results: Mapping[str, KnownResult]) -> None:
        """Remember the content of URLs and the results of contents."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for url, source in sources.items():
                    pipeline.set(_url_key(scope, url), source.model_dump_json(), ex=self._seconds)
                for content, result in results.items():
                    pipeline.set(_content_key(scope, content), result.model_dump_json(), ex=self._seconds)
                await pipeline.execute()

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()


def _url_key(scope: str, url: str) -> str:
    return f"{scope}:url:{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def _content_key(scope: str, content: str) -> str:
    return f"{scope}:content:{content[:32]}"


def _read(kind: type[Known], value: str | bytes) -> Known | None:
    try:
        return kind.model_validate_json(value)
    except ValidationError:  # of another version
        return None
