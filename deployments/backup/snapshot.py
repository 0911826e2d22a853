"""Backup and restore of all collections: one moment of MongoDB, as files in a folder.

Documents are streamed and never decoded, so that memory stays flat: 55 MB for 20,000 products as for 800,000. Files are
read and written between the calls of MongoDB, in the same thread, 25 microseconds a product in all: these functions are
for a process that does nothing else.
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

_READ_DOCUMENTS = 5000  # in one query, so that each has the time limit of a call for itself
_WRITTEN_DOCUMENTS = 1000
_SNAPSHOT_GONE = frozenset({239, 246})  # SnapshotTooOld, SnapshotUnavailable


async def back_up(database: Database, folder: Path, *, secrets: Secrets) -> Manifest:
    """Write all collections, as they are at one moment, to a new folder, while the service works.

    Args:
        database: What to back up.
        folder: Where to; it does not exist before, and does not after an error.
        secrets: Of the deployment. The backup says which key a restore needs, and does not hold it.

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
            detail = f"There is nothing in the database {database.name}: is DARKROOM_MONGO_DATABASE right?"
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
    """Bring a backup back into a database that has nothing, for a service that does not run.

    Requests come last, and one that is not there does not exist: a restore that dies has promised nothing.

    Args:
        database: Where to; it need not have the same name.
        folder: What `back_up` has made.
        secrets: Of the deployment; its key is that of the backup.

    Raises:
        BackupError: The backup is damaged, its key another one or the database not empty, and nothing was written; or
            (`restore_incomplete`) it died half-way.
        StoreUnavailableError: MongoDB does not answer, and nothing was written.
    """
    manifest = verified(folder)
    if manifest.secret_key != secrets.fingerprint:
        detail = (
            "DARKROOM_SECRET_KEY is another one than that of the backup, and webhook secrets are encrypted with it: "
            "set that one, or put its secrets.json into .darkroom/. Nothing was restored."
        )
        raise BackupError("other_secret_key", detail)
    with mongo_errors():
        await _refuse_what_is_not_empty(database)
        await database.ensure_indexes()  # now, because of many documents it takes longer than a call may
    try:
        with mongo_errors():
            for name in [each for each in COLLECTIONS if each in manifest.collections]:
                await _insert(database.collection(name), file_of(folder, manifest.database, name))
            await _check_whole(database, manifest)
    except (PyMongoError, StoreUnavailableError, OSError) as error:
        raise BackupError("restore_incomplete", f"The restore died half-way: {error}. {_again(database)}") from error
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
    """All documents as they are on the wire, in batches of at most 16 MB, with their numbers."""
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
            "MongoDB did not keep the moment of the backup until its end. Try again when there is less to do; or have "
            "it keep moments for longer than 300 s, by mongosh: "
            "db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})"
        )
        raise BackupError("snapshot_too_old", detail) from error


async def _refuse_what_is_not_empty(database: Database) -> None:
    for name in COLLECTIONS:
        if await database.collection(name).find_one({}, {"_id": 1}) is not None:
            detail = (
                f"The database {database.name} has {name} already, and a backup is restored into an empty one, before "
                f"the first `darkroom up`. If nothing of it is needed, do this. {_again(database)}"
            )
            raise BackupError("database_not_empty", detail)


async def _insert(collection: AsyncCollection[Document], path: Path) -> None:
    documents = documents_in(path)
    while chunk := list(islice(documents, _WRITTEN_DOCUMENTS)):
        await collection.insert_many(chunk)


async def _check_whole(database: Database, manifest: Manifest) -> None:
    """A service that runs sweeps products whose request it does not see yet."""
    for name, dumped in manifest.collections.items():
        if await database.collection(name).estimated_document_count() < dumped.documents:
            detail = f"{name} were removed meanwhile: does a service run on it? Stop it. {_again(database)}"
            raise BackupError("restore_incomplete", detail)


def _again(database: Database) -> str:
    return (
        f"Drop the database {database.name} and restore again. "
        "(The embedded MongoDB: `darkroom down`, and remove .darkroom/data/mongodb.)"
    )
