"""Checks that the stores that you named answer and can serve, before anything is started on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.errors import NamedStoreError, StoreUnavailableError
from cluster.mongo.connection import Database
from cluster.redis.progress import Progress
from cluster.s3.bucket import Bucket
from deployments.local.mongod import Mongod
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.stack import embedded_servers

if TYPE_CHECKING:
    from cluster.settings import Settings

_PROBE_TIMEOUT_SECONDS = 5.0
_REFUSALS = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoCredentialsError"})


async def check_named_stores(settings: Settings) -> None:
    """Check that all stores that you named answer and can serve.

    Raises:
        NamedStoreError: One does not answer, or cannot serve.
    """
    for _, problem in await probe_named_stores(settings):
        if problem is not None:
            raise problem


async def probe_named_stores(settings: Settings) -> list[tuple[str, NamedStoreError | None]]:
    """Return each store that you named, by the name of the server that it replaces, with its problem or None."""
    patient = settings.model_copy(update={"store_timeout_seconds": _PROBE_TIMEOUT_SECONDS})
    probes = {
        Mongod.name: ("DARKROOM_MONGO_URL", _probe_mongo),
        RedisServer.name: ("DARKROOM_REDIS_URL", _probe_redis),
        SeaweedFS.name: ("DARKROOM_S3_ENDPOINT_URL or DARKROOM_S3_BUCKET", _probe_s3),
    }
    found: list[tuple[str, NamedStoreError | None]] = []
    for name in sorted(probes.keys() - embedded_servers(settings)):
        setting, probe = probes[name]
        try:
            problem = await probe(patient)
            found.append((name, None if problem is None else NamedStoreError(setting, problem)))
        except StoreUnavailableError as error:
            found.append((name, NamedStoreError(setting, _explained(error.detail))))
        except NamedStoreError as error:
            found.append((name, error))
    return found


def _explained(detail: str) -> str:
    if detail.isdecimal() or detail in _REFUSALS:
        return f"names a store that refuses access ({detail}). Check the credentials, and that they may use the bucket."
    return f"names a store that does not answer ({detail}). Check that it runs and that this machine can reach it."


async def _probe_mongo(settings: Settings) -> str | None:
    async with Database.open(settings) as database:
        if await database.has_transactions():
            return None
    return "names a MongoDB that is not a replica set. Darkroom needs transactions: start mongod with --replSet."


async def _probe_redis(settings: Settings) -> None:
    progress = Progress(settings)
    try:
        await progress.ping()
    finally:
        await progress.close()


async def _probe_s3(settings: Settings) -> None:
    bucket = Bucket(settings)
    try:
        await asyncio.to_thread(bucket.ensure)
    finally:
        bucket.close()
