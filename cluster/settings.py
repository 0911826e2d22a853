"""The settings: environment variables with the prefix `DARKROOM_`, and the only reader of the environment."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

IPNetwork = IPv4Network | IPv6Network

MEBIBYTE = 1024 * 1024
MIN_SECRET_KEY_CHARACTERS = 32

_HTTP = ("http://", "https://")
_URL_SCHEMES = {
    "url": _HTTP,
    "mongo_url": ("mongodb://", "mongodb+srv://"),
    "redis_url": ("redis://", "rediss://"),
    "s3_endpoint_url": _HTTP,
    "s3_public_url": _HTTP,
    "public_url": _HTTP,
}


class Settings(BaseSettings):
    """Everything an operator can set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    settings_file: Path | None = None
    """A JSON object with more settings, by their names in lower case; the environment wins."""

    # The command line and the client.
    home: Path = Path(".darkroom")
    """Where the embedded servers keep data, logs and keys."""
    url: str | None = None
    """Where the service is; unset means the one that `darkroom up` started from `home`."""
    api_key: SecretStr | None = None
    """For the commands; unset means the one in `home`."""
    host: str = "127.0.0.1"
    """Where the HTTP server listens."""
    port: int = Field(default=8000, gt=0, lt=65536)
    """Where the HTTP server listens; unset means 8000, or a free one near it."""

    # The stores.
    mongo_url: str = "mongodb://127.0.0.1:27017/?replicaSet=darkroom"
    """MongoDB, a replica set (closing a request is a transaction); `tls=true` for TLS."""
    mongo_database: str = "darkroom"
    """Its database."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis; `rediss://` for TLS."""
    s3_bucket: str = "darkroom"
    """Where the outputs go; made when it is not there."""
    s3_endpoint_url: str | None = None
    """S3; unset means AWS."""
    s3_public_url: str | None = None
    """Where the bucket is readable by all, for example a CDN; unset means presigned links."""
    s3_region: str = "us-east-1"
    """Of the bucket."""
    s3_server_side_encryption: str | None = None
    """`AES256` or `aws:kms`, sent with every put."""
    store_timeout_seconds: float = Field(default=10, gt=0)
    """How long one call to a store may take before the store counts as away; a put has 10 s more for each MB."""

    # Secrets and the network.
    secret_key: SecretStr = SecretStr("")
    """At least 32 characters; webhook secrets are encrypted with it and the keys' own ones derived from it."""
    allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode] = ()
    """Networks (CIDR, separated by commas) that fetches and webhooks may reach although they are not public."""
    allow_http_webhooks: bool = False
    """Whether a webhook may be plain http."""
    public_url: str | None = None
    """Where clients reach this service; makes the links in a webhook absolute."""

    # Ray.
    ray_address: str | None = None
    """A running Ray cluster (`host:6379`); unset means `darkroom up` starts its own."""
    ray_namespace: str = "darkroom"
    """Of the actors; another one is another deployment on the same cluster."""

    # Admission.
    max_upload_bytes: int = Field(default=256 * MEBIBYTE, gt=0)
    """Of a catalogue."""
    upload_idle_seconds: float = Field(default=30, gt=0)
    """How long an upload may send nothing before it is given up."""
    upload_timeout_seconds: float = Field(default=900, gt=0)
    """How long the whole body of an upload may take."""
    max_rows: int = Field(default=1_000_000, gt=0)
    """Of a catalogue."""
    max_images_per_product: int = Field(default=100, gt=0)
    """Image URLs in one row."""
    max_active_requests: int | None = Field(default=None, gt=0)
    """Requests at work at once, each has a process; unset means four for each core, as far as memory goes."""
    max_queued_images: int = Field(default=5_000_000, gt=0)
    """Of all requests, not done yet; beyond that, uploads are answered 503."""
    max_queued_images_per_key: int = Field(default=2_000_000, gt=0)
    """Of the requests of one API key; beyond that, its uploads are answered 429."""
    max_queued_requests: int = Field(default=10_000, gt=0)
    """That have not ended; beyond that, uploads are answered 503."""
    max_queued_requests_per_key: int = Field(default=1_000, gt=0)
    """Of one API key; beyond that, its uploads are answered 429."""

    # Fetching a source image.
    download_timeout_seconds: float = Field(default=30, gt=0)
    """From the first byte sent to the last byte received, redirects included."""
    connect_timeout_seconds: float = Field(default=5, gt=0)
    """To a source or a webhook, its name's resolution included."""
    max_image_bytes: int = Field(default=64 * MEBIBYTE, gt=0)
    """Of a source image, after decompression, counted while it streams."""
    max_downloads_per_host: int = Field(default=64, gt=0)
    """At once from one source host, by the whole cluster; halved when it answers 429 or 503."""
    source_away_seconds: float = Field(default=60, gt=0)
    """How long a host may give no answer at all before its images fail; it is probed meanwhile."""
    max_redirects: int = Field(default=5, ge=0)
    """That a fetch follows; each is checked again."""
    max_attempts: int = Field(default=3, gt=0)
    """How often an image with a transient error is tried."""
    retry_base_seconds: float = Field(default=1, gt=0)
    """The pause before the second try is at most this, and doubles with each try."""
    retry_cap_seconds: float = Field(default=60, gt=0)
    """The longest pause; a source may ask for up to an hour by `Retry-After`."""

    dedupe_seconds: int = Field(default=24 * 3600, ge=0)
    """How long a result is used again for the same source and options; 0: never, not within a request either."""

    # Decoding.
    max_pixels: int = Field(default=50_000_000, gt=0)
    """Of an image, all frames together."""
    max_side_pixels: int = Field(default=16_384, gt=0)
    """Width or height."""
    max_frames: int = Field(default=100, gt=0)
    """Of an animation."""
    max_buffered_pixels: int = Field(default=16_000_000, gt=0)
    """Of GIF, WebP, AVIF, BMP and interlaced PNG, which are held in memory whole; all frames together."""
    max_progressive_pixels: int = Field(default=20_000_000, gt=0)
    """A progressive JPEG is held in memory whole and may hide many scans."""

    # Batches.
    image_timeout_seconds: float = Field(default=120, gt=0)
    """How long the compression of one image may take; its worker is replaced when it takes longer."""
    max_image_memory_bytes: int = Field(default=2048 * MEBIBYTE, gt=0)
    """What the compression of one image may take; its worker is replaced when it takes more."""
    batch_timeout_seconds: float = Field(default=300, gt=0)
    """How long a batch may run before its worker counts as hung and is ended."""
    batch_seconds: float = Field(default=1.5, gt=0)
    """How much work one Ray task should hold."""
    max_batch_images: int = Field(default=256, gt=0)
    """In one Ray task."""
    downloads_per_task: int = Field(default=16, gt=0)
    """At once, in one Ray task."""

    # Webhooks.
    webhook_timeout_seconds: float = Field(default=15, gt=0)
    """How long an endpoint may take to answer."""
    webhook_retry_seconds: Annotated[tuple[float, ...], NoDecode] = (5, 300, 1800, 7200, 18000, 36000, 50400)
    """Pause before each further attempt (seconds, separated by commas), before jitter."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was given in code, then the environment, then the file that it names."""
        path = os.environ.get(f"{cls.model_config['env_prefix']}SETTINGS_FILE")
        values = {} if path is None else _read_settings_file(Path(path), cls.model_fields)
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [ip_network(part.strip()) for part in value.split(",") if part.strip()]

    @field_validator("webhook_retry_seconds", mode="before")
    @classmethod
    def _split_seconds(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(*_URL_SCHEMES)
    @classmethod
    def _check_scheme(cls, url: str | None, info: ValidationInfo) -> str | None:
        schemes = _URL_SCHEMES[info.field_name or ""]
        if url is not None and not url.startswith(schemes):
            # Not the URL itself: it may hold a password.
            raise ValueError(f"must start with {' or '.join(schemes)}")
        return url

    @field_validator("secret_key")
    @classmethod
    def _check_length(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key) < MIN_SECRET_KEY_CHARACTERS:
            raise ValueError(f"must have at least {MIN_SECRET_KEY_CHARACTERS} characters")
        return key


def _read_settings_file(path: Path, known: Iterable[str]) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"DARKROOM_SETTINGS_FILE: {path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"DARKROOM_SETTINGS_FILE: {path} is not a JSON object of settings")  # noqa: TRY004 - of a file
    misspelt = sorted(values.keys() - set(known))
    if misspelt:
        raise ValueError(f"DARKROOM_SETTINGS_FILE: {path} has {', '.join(misspelt)}, which are no settings")
    return values


def unknown_settings() -> list[str]:
    """The environment variables that look like settings and are none: most are misspelt."""
    prefix = str(Settings.model_config["env_prefix"])
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(prefix) and name not in known)
