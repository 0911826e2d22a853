"""The connection to MongoDB, its collections and their indexes."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pymongo
from bson.errors import InvalidBSON
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel, WriteConcern
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from cluster.errors import NamedStoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

    from cluster.settings import Settings

Document = dict[str, Any]
T = TypeVar("T")

DURABLE = WriteConcern(w="majority", j=True)

_INDEXES: dict[str, list[IndexModel]] = {
    "products": [
        IndexModel([("requestId", ASCENDING), ("row", ASCENDING)], unique=True),
        IndexModel([("requestId", ASCENDING), ("processingStatus", ASCENDING), ("row", ASCENDING)]),
        IndexModel(
            [("requestId", ASCENDING), ("images.status", ASCENDING), ("row", ASCENDING)],
            partialFilterExpression={"images.status": "failed"},
        ),
    ],
    "webhook_deliveries": [
        IndexModel([("deliveryId", ASCENDING)], unique=True),
        IndexModel([("requestId", ASCENDING), ("createdAt", ASCENDING)]),
        IndexModel([("state", ASCENDING), ("nextAttemptAt", ASCENDING), ("url", ASCENDING)]),
    ],
    "api_keys": [IndexModel([("keyId", ASCENDING)], unique=True)],
    "leases": [],
    "processing_requests": [
        IndexModel([("requestId", ASCENDING)], unique=True),
        IndexModel([("status", ASCENDING), ("queuedAt", ASCENDING)]),
        IndexModel([("owner", ASCENDING), ("requestId", DESCENDING)]),
        IndexModel(
            [("owner", ASCENDING), ("idempotencyKey", ASCENDING)],
            unique=True,
            partialFilterExpression={"idempotencyKey": {"$type": "string"}},
        ),
        IndexModel([("deletedAt", ASCENDING)], partialFilterExpression={"deletedAt": {"$type": "date"}}),
    ],
}
COLLECTIONS = tuple(_INDEXES)
"""All that a deployment has. Requests are the last ones: one that is there has all that belongs to it."""


class Database:
    """The collections of one deployment; every write is acknowledged by the majority and journaled.

    Raises:
        NamedStoreError: The setting is not an address.
    """

    def __init__(self, settings: Settings) -> None:
        self._timeout_seconds = settings.store_timeout_seconds
        timeout_ms = int(settings.store_timeout_seconds * 1000)
        try:
            self._client: AsyncMongoClient[Document] = AsyncMongoClient(
                settings.mongo_url,
                appname="darkroom",
                tz_aware=True,
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                timeoutMS=timeout_ms,
            )
        except ConfigurationError as error:  # most often a password that is not percent-encoded
            raise NamedStoreError("DARKROOM_MONGO_URL", f"is no address that can be used: {error}") from error
        if self._client.options.direct_connection:  # a server that has just started would say that nothing is there
            raise NamedStoreError(
                "DARKROOM_MONGO_URL", "has directConnection, which reads from any server: leave it out"
            )
        self._database = self._client.get_database(
            settings.mongo_database,
            write_concern=DURABLE,
            read_concern=ReadConcern("majority"),
        )
        self.requests = self.collection("processing_requests")
        self.products = self.collection("products")
        self.deliveries = self.collection("webhook_deliveries")
        self.api_keys = self.collection("api_keys")
        self.leases = self.collection("leases")

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Database]:
        """A connection that is closed at the end of the block."""
        database = cls(settings)
        try:
            yield database
        finally:
            await database.close()

    def collection(self, name: str) -> AsyncCollection[Document]:
        """One collection, by its name in MongoDB."""
        return self._database[name]

    @property
    def name(self) -> str:
        """The database's name in MongoDB."""
        return self._database.name

    def snapshot(self) -> AsyncClientSession:
        """A session whose reads all see one moment, that of the first one; MongoDB keeps it for 300 s if not told else.

        https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
        """
        return self._client.start_session(snapshot=True)

    async def ensure_indexes(self) -> None:
        """Create what is missing; safe to call from many processes at once.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        with mongo_errors():
            for name, indexes in _INDEXES.items():
                if indexes:
                    await self.collection(name).create_indexes(indexes)

    async def ping(self) -> None:
        """Return when a primary answers.

        Raises:
            StoreUnavailableError: None does.
        """
        with mongo_errors():
            await self._database.command("ping")

    async def has_transactions(self) -> bool:
        """Whether this is a replica set or a sharded cluster.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        with mongo_errors():
            hello = await self._database.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    async def in_transaction(self, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Commit all that `write` does with its session, or none of it; it may run more than once.

        Returns:
            What `write` has returned at the last time.
        """
        async with self._client.start_session() as session:
            with pymongo.timeout(self._timeout_seconds):  # by itself it would go on trying for two minutes
                return await session.with_transaction(write, write_concern=DURABLE)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Turn "MongoDB is away", or cannot be understood, into `StoreUnavailableError`; other errors pass."""
    try:
        yield
    except (ConnectionFailure, NotPrimaryError, ExecutionTimeout, WTimeoutError, ProtocolError, InvalidBSON) as error:
        raise StoreUnavailableError("mongodb", type(error).__name__) from error
    except OperationFailure as error:  # a BulkWriteError too: without a majority it names the write concern
        passing = error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError")
        if passing or error.timeout or (error.details or {}).get("writeConcernErrors"):
            raise StoreUnavailableError("mongodb", type(error).__name__) from error
        raise
