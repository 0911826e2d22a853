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
        IndexModel([("state", ASCENDING), ("nextAttemptAt", ASCENDING), ("url", ASCENDING), ("owner", ASCENDING)]),
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
_PASSING_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        89,  # NetworkTimeout
        134,  # ReadConcernMajorityNotAvailableYet
        211,  # KeyNotFound: a server that has just started has not loaded its keys for the cluster time
        262,  # ExceededTimeLimit
        9001,  # SocketException
    }
)
"""Error codes of a replica set that is changing. A failed read has no label that says so.

https://github.com/mongodb/specifications/blob/master/source/retryable-reads/retryable-reads.md lists them, but for 211.
PyMongo raises `NotPrimaryError` for the others of that list.
"""
COLLECTIONS = tuple(_INDEXES)
"""All collections of a deployment. Requests are last: in a copy, each request then has all its products."""


class Database:
    """The collections of one deployment. Every write is journaled and acknowledged by the majority.

    Raises:
        NamedStoreError: The setting is not a valid address.
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
        except ConfigurationError as error:  # most often because a password is not percent-encoded
            raise NamedStoreError(
                "DARKROOM_MONGO_URL",
                f"is not a valid address ({error}). Correct it, and percent-encode a password in it.",
            ) from error
        if self._client.options.direct_connection:  # a server that has just started would say that it is empty
            raise NamedStoreError(
                "DARKROOM_MONGO_URL", "has directConnection, which may read from a wrong server. Leave it out."
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
        """Open a connection that is closed at the end of the block."""
        database = cls(settings)
        try:
            yield database
        finally:
            await database.close()

    def collection(self, name: str) -> AsyncCollection[Document]:
        """Return a collection by its name in MongoDB."""
        return self._database[name]

    @property
    def name(self) -> str:
        """The database's name in MongoDB."""
        return self._database.name

    def snapshot(self) -> AsyncClientSession:
        """Return a session whose reads all see the moment of the first one. MongoDB keeps it for 300 s by default.

        https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
        """
        return self._client.start_session(snapshot=True)

    async def ensure_indexes(self) -> None:
        """Create the missing indexes. Many processes may call it at once.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        with mongo_errors():
            for name, indexes in _INDEXES.items():
                if indexes:
                    await self.collection(name).create_indexes(indexes)

    async def ping(self) -> None:
        """Return once a primary has answered.

        Raises:
            StoreUnavailableError: No primary answers.
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
        """Commit all writes that `write` makes with its session, or none. `write` may run more than once.

        Returns:
            The last result of `write`.
        """
        async with self._client.start_session() as session:
            with pymongo.timeout(self._timeout_seconds):  # by default it would try for two minutes
                return await session.with_transaction(write, write_concern=DURABLE)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Raise `StoreUnavailableError` when MongoDB is away or its answer is damaged. Other errors pass."""
    try:
        yield
    except (ConnectionFailure, NotPrimaryError, ExecutionTimeout, WTimeoutError, ProtocolError, InvalidBSON) as error:
        raise StoreUnavailableError("mongodb", type(error).__name__) from error
    except OperationFailure as error:  # a BulkWriteError too: without a majority it names the write concern
        if not _is_passing(error):
            raise
        raise StoreUnavailableError("mongodb", type(error).__name__) from error


def _is_passing(error: OperationFailure) -> bool:
    labels = ("TransientTransactionError", "RetryableWriteError")
    return (
        any(error.has_error_label(label) for label in labels)
        or error.code in _PASSING_CODES
        or error.timeout
        or bool((error.details or {}).get("writeConcernErrors"))
    )
