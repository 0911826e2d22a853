"""Backup and restore of all collections: one moment of MongoDB, as files in a folder.

Documents are streamed and never decoded, so that memory stays flat: 55 MB for 20,000 products as for 800,000. Files are
read and written between the calls of MongoDB, in the same thread. That takes 25 microseconds a product in all, so these
functions are for a process that does nothing else.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from bson import decode_all
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo import ASCENDING
from pymongo.errors import OperationFailure, PyMongoError

from cluster.errors import BackupError, StoreUnavailableError
from cluster.mongo.connection import COLLECTIONS, mongo_errors
from cluster.records import utc_now
from deployments.backup.folder import (
    FORMAT_VERSION,
    DumpedCollection,
    Manifest,
    described,
    documents_in,
    file_of,
    new_dump,
    new_folder,
    verified,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

    from cluster.mongo.connection import Database, Document
    from cluster.secrets import Secrets

_READ_DOCUMENTS = 5000  # in one query: the time limit of a call is for one query
_WRITTEN_DOCUMENTS = 1000
_SNAPSHOT_GONE = frozenset({239, 246})  # SnapshotTooOld, SnapshotUnavailable


async def back_up(database: Database, folder: Path, *, secrets: Secrets) -> Manifest:
    """Write all collections, as they are at one moment, to a new folder, while the service works.

    Args:
        database: The database to back up.
        folder: The new folder. It must not exist before, and does not exist after an error.
        secrets: The secrets of the deployment. The backup tells which key a restore needs, and does not hold it.

    Raises:
        BackupError: The folder exists, there is nothing to back up, or it took longer than MongoDB keeps a moment.
        StoreUnavailableError: MongoDB does not answer.
        OSError: A file cannot be written.
    """
    with new_folder(folder) as draft, mongo_errors(), _lasting_snapshot():
        (draft / database.name).mkdir(mode=0o700)
        created_at = utc_now()
        async with database.snapshot() as session:
            collections = {
                name: await _dump(database.collection(name), session, file_of(draft, database.name, name))
                for name in COLLECTIONS
            }
        if not any(dumped.documents for dumped in collections.values()):
            detail = f"The database {database.name} is empty, so nothing was backed up. Check DARKROOM_MONGO_DATABASE."
            raise BackupError("nothing_there", detail)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            created_at=created_at,
            database=database.name,
            secret_key=secrets.fingerprint,
            collections=collections,
        )
        write_manifest(draft, manifest)
    return manifest


async def restore(database: Database, folder: Path, *, secrets: Secrets) -> Manifest:
    """Restore a backup into an empty database, for a service that does not run.

    Requests come last, and a request does not exist without its document. So a restore that dies has promised nothing.

    Args:
        database: The empty database. It may have another name than the one that was backed up.
        folder: The folder that `back_up` has made.
        secrets: The secrets of the deployment. Its key is that of the backup.

    Raises:
        BackupError: The backup is damaged, its key is another one or the database is not empty, and nothing was
            written. Or the restore failed half-way (`restore_incomplete`).
        StoreUnavailableError: MongoDB does not answer, and nothing was written.
    """
    manifest = verified(folder)
    if manifest.secret_key != secrets.fingerprint:
        detail = (
            "DARKROOM_SECRET_KEY is not the key of the backup, which its webhook secrets are encrypted with. Nothing "
            "was restored. Set the key of the backup, or copy its secrets.json into .darkroom/."
        )
        raise BackupError("other_secret_key", detail)
    with mongo_errors():
        await _refuse_what_is_not_empty(database)
        await database.ensure_indexes()  # now: with many documents it takes longer than a call may
    try:
        with mongo_errors():
            for name in [each for each in COLLECTIONS if each in manifest.collections]:
                await _insert(database.collection(name), file_of(folder, manifest.database, name))
            await _check_whole(database, manifest)
    except (PyMongoError, StoreUnavailableError, OSError) as error:
        raise BackupError("restore_incomplete", f"The restore failed half-way: {error}. {_again(database)}") from error
    return manifest


async def _dump(collection: AsyncCollection[Document], session: AsyncClientSession, path: Path) -> DumpedCollection:
    documents = 0
    with new_dump(path) as file:
        async for batch, count in _batches(collection, session):
            file.write(batch)
            documents += count
    return described(path, documents)


async def _batches(
    collection: AsyncCollection[Document], session: AsyncClientSession
) -> AsyncIterator[tuple[bytes, int]]:
    """Yield all documents as they are on the wire, in batches of at most 16 MB, with their numbers."""
    query: dict[str, Any] | None = {}
    while query is not None:
        page = collection.find_raw_batches(
            query, session=session, sort=[("_id", ASCENDING)], limit=_READ_DOCUMENTS, batch_size=_READ_DOCUMENTS
        )
        query = None
        async for raw in page:
            batch = cast("bytes", raw)  # PyMongo's annotation says dict
            if documents := decode_all(batch, DEFAULT_RAW_BSON_OPTIONS):
                yield batch, len(documents)
                query = {"_id": {"$gt": documents[-1]["_id"]}}


@contextmanager
def _lasting_snapshot() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if error.code not in _SNAPSHOT_GONE:
            raise
        detail = (
            "The backup took longer than MongoDB keeps one moment of its data. None was made. Try again when there is "
            "less to do. Or let MongoDB keep it for longer than 300 s, by mongosh: "
            "db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})"
        )
        raise BackupError("snapshot_too_old", detail) from error


async def _refuse_what_is_not_empty(database: Database) -> None:
    for name in COLLECTIONS:
        if await database.collection(name).find_one({}, {"_id": 1}) is not None:
            detail = (
                f"The database {database.name} has {name} already. A backup is restored into an empty database, before "
                f"the first `darkroom up`. If you need nothing in it: {_again(database)}"
            )
            raise BackupError("database_not_empty", detail)


async def _insert(collection: AsyncCollection[Document], path: Path) -> None:
    documents = documents_in(path)
    while chunk := list(islice(documents, _WRITTEN_DOCUMENTS)):
        await collection.insert_many(chunk)


async def _check_whole(database: Database, manifest: Manifest) -> None:
    """Check that all documents are there: a running service removes products whose request it does not see."""
    for name, dumped in manifest.collections.items():
        if await database.collection(name).estimated_document_count() < dumped.documents:
            detail = (
                f"Some {name} were removed meanwhile. Stop the service that runs on this database. {_again(database)}"
            )
            raise BackupError("restore_incomplete", detail)


def _again(database: Database) -> str:
    return (
        f"Drop the database {database.name} and restore again. "
        "(For the embedded MongoDB, run `darkroom down` and remove .darkroom/data/mongodb.)"
    )
