"""API keys are made, checked and revoked here. MongoDB has only their hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cluster.errors import DarkroomError
from cluster.mongo.connection import mongo_errors
from cluster.records import ApiKey, Scope, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.mongo.connection import Database

_PREFIX = "dk"
_SECRET_BYTES = 32


class ApiKeyStore:
    """The collection `api_keys`. A token is `dk_<key id>_<secret>` and is shown only when it is made."""

    def __init__(self, database: Database) -> None:
        self._keys = database.api_keys

    async def create(self, *, name: str, scopes: Iterable[Scope], beside: str | None = None) -> tuple[ApiKey, str]:
        """Make a key and return it with its token.

        Args:
            name: The user or program that will use the key.
            scopes: The permissions of the key.
            beside: The id of a key whose requests the new key sees. Without it, the new key sees only its own.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        owner = None if beside is None else await self.owner_of(beside)
        key, token = new_key(name=name, scopes=scopes, owner=owner)
        await self.add(key)
        return key, token

    async def add(self, key: ApiKey) -> None:
        """Store a new key. It is valid from now on."""
        with mongo_errors():
            await self._keys.insert_one(key.document())

    async def owner_of(self, key_id: str) -> str:
        """Return the owner of the requests that a key sees.

        Raises:
            DarkroomError: There is no such key.
        """
        with mongo_errors():
            document = await self._keys.find_one({"keyId": key_id})
        if document is None:
            raise DarkroomError(f"There is no key {key_id}. `darkroom keys list` shows all keys.")
        return ApiKey.model_validate(document).owner

    async def verify(self, token: str) -> ApiKey | None:
        """Return the key of a token, or None when there is none or it was revoked.

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
        """Return all keys with the revoked ones, the oldest first."""
        with mongo_errors():
            return [ApiKey.model_validate(document) async for document in self._keys.find().sort("createdAt", 1)]

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key. Return False when there is no such key, or it was revoked before."""
        with mongo_errors():
            result = await self._keys.update_one(
                {"keyId": key_id, "revokedAt": None}, {"$set": {"revokedAt": utc_now()}}
            )
        return result.modified_count == 1


def new_key(*, name: str, scopes: Iterable[Scope], owner: str | None = None) -> tuple[ApiKey, str]:
    """Return a new key and its token. The key is not stored yet."""
    secret, key_id = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(6)
    key = ApiKey(
        key_id=key_id,
        owner=owner or key_id,
        name=name,
        secret_hash=_hash(secret),
        scopes=list(scopes),
        created_at=utc_now(),
    )
    return key, f"{_PREFIX}_{key_id}_{secret}"


def key_id_of(token: str) -> str:
    """Return the key's id in a token, or an empty text when there is none."""
    prefix, _, rest = token.partition("_")
    return rest.partition("_")[0] if prefix == _PREFIX else ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
