"""Secrets that depend on `DARKROOM_SECRET_KEY`.

It encrypts webhook secrets at rest. Each API key's signing secret is derived from it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from cluster.errors import RefusedError

if TYPE_CHECKING:
    from cluster.settings import Settings

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks gives every secret, not a secret
_SECRET_BYTES = range(24, 65)


class Secrets:
    """Secrets under the deployment's key.

    Raises:
        ValueError: `DARKROOM_SECRET_KEY` is missing.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.secret_key.get_secret_value()
        if not key:
            raise ValueError("DARKROOM_SECRET_KEY must be set, and be the same everywhere")
        self._key = key.encode()
        self._fernet = Fernet(base64.urlsafe_b64encode(self._derive(b"encryption at rest")))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell this key from others. They say nothing else about it."""
        return self._derive(b"fingerprint").hex()[:16]

    def encrypt(self, text: str) -> str:
        """Encrypt a text for storage, with Fernet (AES-128-CBC and HMAC-SHA-256)."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Return the text that `encrypt` was given."""
        return self._fernet.decrypt(token.encode()).decode()

    def webhook_secret(self, key_id: str) -> str:
        """Return the signing secret of an API key's webhooks, in the form of Standard Webhooks: `whsec_` and base64."""
        secret = self._derive(b"webhook secret of " + key_id.encode())
        return WEBHOOK_SECRET_PREFIX + base64.b64encode(secret).decode()

    def _derive(self, purpose: bytes) -> bytes:
        return hmac.new(self._key, purpose, hashlib.sha256).digest()


def check_webhook_secret(secret: str) -> str:
    """Return the secret if it has the form of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes.

    Raises:
        RefusedError: It has another form.
    """
    try:
        raw = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET_PREFIX), validate=True)
    except ValueError:
        raw = b""
    if not secret.startswith(WEBHOOK_SECRET_PREFIX) or len(raw) not in _SECRET_BYTES:
        raise RefusedError(
            400,
            "invalid_webhook_secret",
            f"webhookSecret must be {WEBHOOK_SECRET_PREFIX} followed by the base64 of 24 to 64 random bytes.",
        )
    return secret
