"""API keys: made, checked and revoked; only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cluster.mongo.connection import mongo_errors
from cluster.records import ApiKey, Scope, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.mongo.connection import Database

_PREFIX = "dk"
_SECRET_BYTES = 32


class ApiKeyStore:
    """The collection `api_keys`. A token is `dk_<key id>_<secret>` and is shown once, when it is made."""

    def __init__(self, database: Database) -> None:
        self._keys = database.api_keys

    async def create(self, *, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
        """A new key and its token.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name,
            secret_hash=_hash(secret),
            scopes=list(scopes),
            created_at=utc_now(),
        )
        with mongo_errors():
            await self._keys.insert_one(key.document())
        return key, f"{_PREFIX}_{key.key_id}_{secret}"

    async def verify(self, token: str) -> ApiKey | None:
        """The key that the token belongs to; None when there is none, or it was revoked.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not key_id or not secret:
            return None
        with mongo_errors():
            document = await self._keys.find_one({"keyId": key_id, "revokedAt": None})
        if document is None:
            return None
        key = ApiKey.model_validate(document)
        return key if hmac.compare_digest(key.secret_hash, _hash(secret)) else None

    async def exists_any(self) -> bool:
        """Whether any key was ever made."""
        with mongo_errors():
            return await self._keys.find_one({}, {"_id": 1}) is not None

    async def list_all(self) -> list[ApiKey]:
        """All keys, the oldest first, revoked ones too."""
        with mongo_errors():
            return [ApiKey.model_validate(document) async for document in self._keys.find().sort("createdAt", 1)]

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key; False when there is no such key in force."""
        with mongo_errors():
            result = await self._keys.update_one(
                {"keyId": key_id, "revokedAt": None}, {"$set": {"revokedAt": utc_now()}}
            )
        return result.modified_count == 1


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
