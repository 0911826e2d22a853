"""A backup as it is on disk.

    FOLDER/
    ├── backup.json                        the `Manifest`
    └── <database>/<collection>.bson.gz    BSON documents one after another, compressed by gzip

The files have the form of `mongodump --gzip` (https://www.mongodb.com/docs/database-tools/mongodump/), without its
metadata files: indexes are made anew by `Database.ensure_indexes`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from bson import decode_file_iter
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pydantic import ValidationError

from cluster.errors import BackupError
from cluster.mongo.connection import COLLECTIONS
from cluster.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bson.raw_bson import RawBSONDocument

FORMAT_VERSION = 1
_MANIFEST = "backup.json"
_PRIVATE_FILE = 0o600
_COMPRESSION = 1  # products: a tenth larger than by level 6, in 60% of the time


class DumpedCollection(Record):
    """One file of a backup."""

    documents: int
    bytes: int  # of the file, compressed
    sha256: str  # of the file, hex


class Manifest(Record):
    """The content of a backup."""

    format_version: int
    created_at: datetime  # later writes may be missing
    database: str
    secret_key: str  # the fingerprint of DARKROOM_SECRET_KEY, never the key
    collections: dict[str, DumpedCollection]


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder for the block. At its end it takes the target's name. After an error it is removed.

    Raises:
        BackupError: The target exists.
        OSError: The folder cannot be made.
    """
    target = target.absolute()
    if target.exists():
        raise BackupError("target_exists", f"{target} exists. Name a folder that does not exist: the backup makes it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))  # its mode is 0700
    try:
        yield draft
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def file_of(folder: Path, database: str, collection: str) -> Path:
    """Return the path of a collection in a backup."""
    return folder / database / f"{collection}.bson.gz"


@contextmanager
def new_dump(path: Path) -> Iterator[gzip.GzipFile]:
    """Open a file for documents. At the end of the block it is on disk. Only its owner can read it."""
    with _new_private_file(path) as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_COMPRESSION) as compressed:
            yield compressed
        _sync(file)


def documents_in(path: Path) -> Iterator[RawBSONDocument]:
    """Yield the documents of a file, one at a time, none of them decoded."""
    with gzip.open(path) as file:
        yield from decode_file_iter(cast("IO[bytes]", file), DEFAULT_RAW_BSON_OPTIONS)


def described(path: Path, documents: int) -> DumpedCollection:
    """Return the manifest's entry for a file."""
    return DumpedCollection(documents=documents, bytes=path.stat().st_size, sha256=_sha256(path))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the last file of a backup."""
    with _new_private_file(folder / _MANIFEST) as file:
        file.write(f"{manifest.model_dump_json(indent=2)}\n".encode())
        _sync(file)


def verified(folder: Path) -> Manifest:
    """Read all files of a backup once, and return its manifest when they are as they were written.

    Raises:
        BackupError: They are not, or this version does not know their form.
    """
    manifest = _read_manifest(folder)
    for name, dumped in manifest.collections.items():
        path = file_of(folder, manifest.database, name)
        try:
            is_whole = path.stat().st_size == dumped.bytes and _sha256(path) == dumped.sha256
        except FileNotFoundError:
            is_whole = False
        if not is_whole:
            detail = f"{path} is damaged. Nothing was restored. Use another backup."
            raise BackupError("damaged_backup", detail)
    return manifest


def _read_manifest(folder: Path) -> Manifest:
    path = folder / _MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BackupError(
            "damaged_backup", f"{folder} is no backup: it has no {_MANIFEST}. Nothing was restored."
        ) from error
    except ValidationError as error:
        raise BackupError("damaged_backup", f"{path} is damaged. Nothing was restored. Use another backup.") from error
    if manifest.format_version != FORMAT_VERSION or not manifest.collections.keys() <= set(COLLECTIONS):
        raise BackupError(
            "unknown_format", f"{folder} was made by another version of Darkroom. Restore it with that version."
        )
    return manifest


def _new_private_file(path: Path) -> IO[bytes]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    return os.fdopen(descriptor, "wb")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
