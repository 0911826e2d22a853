"""The secrets of one machine's servers. They are made at the first start and kept for ever."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from deployments.local.private_files import write_private

if TYPE_CHECKING:
    from deployments.local.home import Home

_SECRET_BYTES = 32


def _token() -> str:
    return secrets.token_hex(_SECRET_BYTES)


class Credentials(BaseModel):
    """All secrets, as `secrets.json` holds them."""

    model_config = ConfigDict(frozen=True)

    secret_key: str = Field(default_factory=_token, repr=False)
    """The `DARKROOM_SECRET_KEY`, unless you set one."""
    s3_access_key: str = Field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_key: str = Field(default_factory=_token, repr=False)
    seaweedfs_key: str = Field(default_factory=_token, repr=False)
    """The key that signs calls between SeaweedFS's parts, so that its data cannot be reached past the S3 API."""
    ray_token: str = Field(default_factory=_token, repr=False)

    def password_of(self, server: str) -> str:
        """Return the password of a server. It is derived, so that a folder of an older version has it, too."""
        return hmac.new(self.secret_key.encode(), f"password of {server}".encode(), hashlib.sha256).hexdigest()

    @classmethod
    def of(cls, home: Home) -> Credentials:
        """Read the secrets of a folder, or make them when there are none.

        Raises:
            OSError: The files cannot be read or written.
            ValueError: `secrets.json` is damaged.
        """
        if home.secrets_file.exists():
            credentials = cls.model_validate_json(home.secrets_file.read_bytes())
        else:
            credentials = cls()
            write_private(home.secrets_file, credentials.model_dump_json(indent=2))
        write_private(home.ray_token_file, credentials.ray_token)
        return credentials
