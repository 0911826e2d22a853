"""Backup and restore: one moment of all collections, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from bson import decode_file_iter
from pymongo import AsyncMongoClient

from cluster.errors import BackupError
from cluster.identifiers import new_identifier
from cluster.mongo.api_keys import ApiKeyStore
from cluster.mongo.connection import COLLECTIONS, Database
from cluster.mongo.outbox import Outbox
from cluster.mongo.products import ProductStore
from cluster.mongo.requests import RequestClaims
from cluster.records import Scope
from cluster.redis.connection import forget_all
from cluster.redis.progress import CountedImage, Progress
from cluster.secrets import Secrets
from deployments.backup.folder import verified
from deployments.backup.snapshot import back_up, restore
from tests.support.requests import DONE, committed, due_delivery, ended, product
from tests.support.stores import mongo_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pymongo.asynchronous.collection import AsyncCollection
    from redis import Redis

    from cluster.settings import Settings
    from deployments.local.home import Home
    from tests.support.service import Service

MANY = 12_000  # products: more than one query reads and one insert writes


@pytest.fixture
def secrets(isolated: Settings) -> Secrets:
    return Secrets(isolated)


@pytest.fixture
async def empty(isolated: Settings) -> AsyncIterator[Database]:
    """An empty database to restore into."""
    async with Database.open(isolated.model_copy(update={"mongo_database": new_identifier("new")})) as opened:
        yield opened


async def fill(database: Database) -> tuple[str, str]:
    """Make a request that has ended with its webhook pending, one at work, and a key. Return its id and its token."""
    closed = ended(await committed(database))
    await RequestClaims(database).close(closed, due_delivery(closed))
    await committed(database, products=3, images=2)
    _, token = await ApiKeyStore(database).create(name="shop", scopes=list(Scope))
    return closed.request_id, token


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def documents(collection: AsyncCollection[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document async for document in collection.find().sort("_id", 1)]


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {name: await documents(database.collection(name)) for name in COLLECTIONS}


@asynccontextmanager
async def meanwhile(act: Any) -> AsyncIterator[None]:  # noqa: ANN401 - a coroutine function
    """Do something again and again during the block."""

    async def repeated() -> None:
        while True:
            await act()

    task = asyncio.create_task(repeated())
    yield
    assert not task.done(), task.exception()
    task.cancel()


@asynccontextmanager
async def keeping_moments_for(seconds: int, home: Home) -> AsyncIterator[None]:
    """Change for the block how long MongoDB keeps a moment of its data."""
    name = "minSnapshotHistoryWindowInSeconds"
    with mongo_administrator(home) as client:
        before = client.admin.command({"getParameter": 1, name: 1})[name]
        client.admin.command({"setParameter": 1, name: seconds})
        try:
            yield
        finally:
            client.admin.command({"setParameter": 1, name: before})


async def drop(database: Database, settings: Settings) -> None:
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        await client.drop_database(database.name)


async def refusal(database: Database, folder: Path, secrets: Secrets) -> str:
    with pytest.raises(BackupError) as caught:
        await restore(database, folder, secrets=secrets)
    return caught.value.code


async def test_all_comes_back_as_it_was(database: Database, empty: Database, tmp_path: Path, secrets: Secrets) -> None:
    request_id, token = await fill(database)
    made = await back_up(database, tmp_path / "new" / "backup", secrets=secrets)
    restored = await restore(empty, tmp_path / "new" / "backup", secrets=secrets)
    assert restored == made
    assert {name: each.documents for name, each in made.collections.items()} == {
        "products": 4,
        "webhook_deliveries": 1,
        "leases": 1,
        "api_keys": 1,
        "processing_requests": 2,
    }
    assert await everything(empty) == await everything(database)
    assert await ApiKeyStore(empty).verify(token) is not None
    claimed = await Outbox(empty).claim_due(lease_seconds=60)
    assert claimed is not None
    assert claimed.request_id == request_id
    for name in COLLECTIONS:
        indexes = [set(await each.collection(name).index_information()) for each in (database, empty)]
        assert indexes[0] == indexes[1]


async def test_the_files_are_those_of_mongodump_and_only_for_their_owner(
    database: Database, tmp_path: Path, secrets: Secrets
) -> None:
    await fill(database)
    folder = tmp_path / "backup"
    await back_up(database, folder, secrets=secrets)
    for name in COLLECTIONS:
        with gzip.open(folder / database.name / f"{name}.bson.gz") as file:
            found = list(decode_file_iter(file))  # type: ignore[call-overload] # it reads from anything that has `read`
        assert found
        assert [each["_id"] for each in found] == [each["_id"] for each in await documents(database.collection(name))]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert {mode for name, mode in modes.items() if name.endswith((".gz", ".json"))} == {0o600}
    assert {mode for name, mode in modes.items() if not name.endswith((".gz", ".json"))} == {0o700}
    assert "formatVersion" in json.loads((folder / "backup.json").read_text())
    assert names(tmp_path) == ["backup"]


async def test_a_backup_shows_one_moment_despite_later_writes(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets
) -> None:
    request_id = new_identifier("req")
    for first in range(2, MANY + 2, 2000):
        await ProductStore(database).insert(product(request_id, row) for row in range(first, first + 2000))
    await committed(database)
    async with meanwhile(lambda: committed(database, products=2)):
        made = await back_up(database, tmp_path / "backup", secrets=secrets)
    await restore(empty, tmp_path / "backup", secrets=secrets)
    kept, now = await everything(empty), await everything(database)
    assert len(kept["processing_requests"]) < len(now["processing_requests"])
    assert len(kept["products"]) == made.collections["products"].documents > MANY
    of_requests = {each["requestId"] for each in kept["products"]} - {request_id}
    # One request may be missing: its products were written by that moment, and its document was not.
    assert {each["requestId"] for each in kept["processing_requests"]} <= of_requests
    assert len(of_requests) - len(kept["processing_requests"]) <= 1
    originals = {each["_id"]: each for each in now["products"]}
    filler = [each for each in kept["products"] if each["requestId"] == request_id]
    assert filler == [originals[each["_id"]] for each in filler]


@pytest.mark.parametrize("damage", ["a changed byte", "a lost end", "a lost file", "no manifest", "half a manifest"])
async def test_a_damaged_backup_is_refused_and_nothing_is_written(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets, damage: str
) -> None:
    await fill(database)
    folder = tmp_path / "backup"
    await back_up(database, folder, secrets=secrets)
    dump, manifest = folder / database.name / "processing_requests.bson.gz", folder / "backup.json"
    data = dump.read_bytes()
    match damage:
        case "a changed byte":
            dump.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
        case "a lost end":
            dump.write_bytes(data[:-1])
        case "a lost file":
            dump.unlink()
        case "no manifest":
            manifest.unlink()
        case _:
            manifest.write_text(manifest.read_text()[:100])
    assert await refusal(empty, folder, secrets) == "damaged_backup"
    assert not any((await everything(empty)).values())


async def test_a_backup_of_another_version_or_key_is_refused(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets, isolated: Settings
) -> None:
    await fill(database)
    folder = tmp_path / "backup"
    await back_up(database, folder, secrets=secrets)
    others = Secrets(isolated.model_validate({"secret_key": "another" * 5}))
    assert await refusal(empty, folder, others) == "other_secret_key"
    manifest = json.loads((folder / "backup.json").read_text())
    (folder / "backup.json").write_text(json.dumps(manifest | {"formatVersion": 2}))
    assert await refusal(empty, folder, secrets) == "unknown_format"
    assert not any((await everything(empty)).values())


@pytest.mark.parametrize("name", COLLECTIONS)
async def test_a_database_that_has_anything_is_left_alone(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets, name: str
) -> None:
    await fill(database)
    await back_up(database, tmp_path / "backup", secrets=secrets)
    await empty.collection(name).insert_one({"requestId": "there"})
    assert await refusal(empty, tmp_path / "backup", secrets) == "database_not_empty"
    assert {each: len(found) for each, found in (await everything(empty)).items() if found} == {name: 1}


async def test_a_restore_that_dies_leaves_no_request_and_can_be_begun_again(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets, isolated: Settings
) -> None:
    await fill(database)
    await back_up(database, tmp_path / "backup", secrets=secrets)
    # A unique index does here what a full disk would do: no two products may have the same state.
    await empty.products.create_index("processingStatus", unique=True, name="in_the_way")
    assert await refusal(empty, tmp_path / "backup", secrets) == "restore_incomplete"
    assert await empty.products.find_one() is not None
    assert await empty.requests.find_one() is None
    await empty.products.drop_index("in_the_way")
    assert await refusal(empty, tmp_path / "backup", secrets) == "database_not_empty"
    await drop(empty, isolated)
    await restore(empty, tmp_path / "backup", secrets=secrets)
    assert await everything(empty) == await everything(database)


async def test_a_restore_beside_a_service_that_sweeps_is_told(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets
) -> None:
    request_id = new_identifier("req")
    await ProductStore(database).insert(product(request_id, row) for row in range(2, 3002))
    await back_up(database, tmp_path / "backup", secrets=secrets)
    async with meanwhile(lambda: empty.products.delete_many({"requestId": request_id})):
        assert await refusal(empty, tmp_path / "backup", secrets) == "restore_incomplete"


async def test_a_backup_takes_no_place_and_leaves_nothing_half(
    database: Database, empty: Database, tmp_path: Path, secrets: Secrets
) -> None:
    (tmp_path / "there").mkdir()
    for folder, wanted in ((tmp_path / "there", "target_exists"), (tmp_path / "new", "nothing_there")):
        with pytest.raises(BackupError) as caught:
            await back_up(empty, folder, secrets=secrets)
        assert caught.value.code == wanted
    assert names(tmp_path) == ["there"]


async def test_a_moment_that_mongodb_does_not_keep_is_told(
    database: Database, service: Service, tmp_path: Path, secrets: Secrets
) -> None:
    for first in range(2, MANY + 2, 2000):
        await ProductStore(database).insert(product("req_1", row) for row in range(first, first + 2000))
    numbers = count()
    async with (
        keeping_moments_for(0, service.stack.home),
        meanwhile(lambda: database.deliveries.insert_one({"deliveryId": next(numbers)})),
    ):
        with pytest.raises(BackupError) as caught:
            await back_up(database, tmp_path / "backup", secrets=secrets)
    assert caught.value.code == "snapshot_too_old"
    assert names(tmp_path) == []
    await back_up(database, tmp_path / "backup", secrets=secrets)
    assert verified(tmp_path / "backup").collections["products"].documents == MANY


async def test_only_keys_of_darkroom_are_removed_from_redis(
    isolated: Settings, progress: Progress, redis: Redis
) -> None:
    redis.set("another's", "1", ex=60)
    request_id = new_identifier("req")
    await progress.begin_rebuild(request_id, 1)
    await progress.count(request_id, [CountedImage.of(number, DONE) for number in range(3)])
    await forget_all(isolated)
    assert list(redis.scan_iter(f"*{request_id}*")) == []
    assert redis.get("another's") == b"1"
