"""The settings: environment variables with the prefix `DARKROOM_`. No other module reads the environment."""

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
Port = Annotated[int, Field(gt=0, lt=65536)]

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
    """The settings of a deployment. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    settings_file: Path | None = None
    """A JSON file with more settings, by their names in lower case without the prefix. The environment wins over it."""

    # The command line and the client.
    home: Path = Path(".darkroom")
    """The folder where the embedded servers keep data, logs and keys."""
    url: str | None = None
    """The URL of the service for the command line. Without it, the service that `darkroom up` started."""
    api_key: SecretStr | None = None
    """The API key that the command line sends. Without it, the key in the home folder."""
    host: str = "127.0.0.1"
    """The address on which the HTTP server listens."""
    port: Port = 8000
    """The port on which the HTTP server listens. Without it, 8000 or a free port near it."""

    # The stores.
    mongo_url: str = "mongodb://127.0.0.1:27017/?replicaSet=darkroom"
    """The URL of MongoDB, which must be a replica set: closing a request is a transaction. `tls=true` turns on TLS."""
    mongo_database: str = "darkroom"
    """The name of the database in MongoDB."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """The URL of Redis. `rediss://` turns on TLS."""
    s3_bucket: str = "darkroom"
    """The bucket for the outputs. It is created when it does not exist."""
    s3_endpoint_url: str | None = None
    """The URL of the S3 service. Without it, S3 is AWS."""
    s3_public_url: str | None = None
    """The URL under which everybody can read the bucket, for example a CDN. Without it, links are presigned."""
    s3_cache_control: str | None = None
    """The `Cache-Control` of each output. An empty text means none. By default it is
    `public, max-age=31536000, immutable` with `DARKROOM_S3_PUBLIC_URL`, and none without it."""
    s3_region: str = "us-east-1"
    """The region of the bucket."""
    s3_server_side_encryption: str | None = None
    """The server-side encryption that each put asks for: `AES256` or `aws:kms`."""
    store_timeout_seconds: float = Field(default=10, gt=0)
    """The time for one call to a store, after which the store counts as away. A put gets 10 s more for each MB."""

    # Secrets and the network.
    secret_key: SecretStr = SecretStr("")
    """The key, of at least 32 characters, that encrypts webhook secrets. It also derives one for each API key."""
    allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode] = ()
    """Networks that downloads and webhooks may reach although they are not public. CIDR ranges, separated by commas."""
    allowed_ports: Annotated[tuple[Port, ...], NoDecode] = (80, 443, 8080, 8443)
    """The ports of downloads and webhooks, separated by commas. `DARKROOM_ALLOWED_NETWORKS` are open on all ports."""
    allow_http_webhooks: bool = False
    """Whether a webhook may use plain http."""
    public_url: str | None = None
    """The URL under which clients reach this service. It makes the links in a webhook absolute."""

    # Ray.
    ray_address: str | None = None
    """The address of a running Ray cluster, for example `host:6379`. Without it, `darkroom up` starts Ray itself."""
    ray_namespace: str = "darkroom"
    """The Ray namespace of the actors. Another namespace is another deployment on the same cluster."""

    # Admission.
    max_upload_bytes: int = Field(default=256 * MEBIBYTE, gt=0)
    """The size of the largest catalogue. The form around it may have 1 MiB more."""
    upload_idle_seconds: float = Field(default=30, gt=0)
    """The time in which an upload may send nothing. Then it is refused with 408."""
    upload_timeout_seconds: float = Field(default=900, gt=0)
    """The time for the whole body of an upload. Then it is refused with 408."""
    max_rows: int = Field(default=1_000_000, gt=0)
    """The largest number of rows in a catalogue."""
    max_images_per_product: int = Field(default=100, gt=0)
    """The largest number of image URLs in one row."""
    max_active_requests: int | None = Field(default=None, gt=0)
    """The largest number of requests at work, each with a process. Without it, 4 for each core if memory allows."""
    max_queued_images: int = Field(default=5_000_000, gt=0)
    """The largest number of images of all requests that are not done. Past it, uploads are refused with 503."""
    max_queued_images_per_key: int = Field(default=2_000_000, gt=0)
    """The largest number of images of one API key that are not done. Past it, its uploads are refused with 429."""
    max_queued_requests: int = Field(default=10_000, gt=0)
    """The largest number of requests that have not ended. Past it, uploads are refused with 503."""
    max_queued_requests_per_key: int = Field(default=1_000, gt=0)
    """The largest number of open requests of one API key. Past it, its uploads are refused with 429."""

    # Fetching a source image.
    download_timeout_seconds: float = Field(default=30, gt=0)
    """The time for one download, from the lookup of the name to the last byte, redirects included."""
    connect_timeout_seconds: float = Field(default=5, gt=0)
    """The time to connect to a source or a webhook endpoint. The lookup of the name is included."""
    max_image_bytes: int = Field(default=64 * MEBIBYTE, gt=0)
    """The size of the largest source image after HTTP decompression. Its answer may be an eighth and 1 MiB larger."""
    max_downloads_per_host: int = Field(default=64, gt=0)
    """The largest number of downloads at the same time from one host, for the whole cluster. A 429 or 503 halves it."""
    source_away_seconds: float = Field(default=60, gt=0)
    """The time in which a host or its name server may be silent before images fail or a webhook call counts as made."""
    max_redirects: int = Field(default=5, ge=0)
    """The largest number of redirects that a download follows. Each address is checked again."""
    max_attempts: int = Field(default=3, gt=0)
    """The largest number of attempts at an image whose errors are transient."""
    retry_base_seconds: float = Field(default=1, gt=0)
    """The longest pause before the second attempt at an image. It doubles with each attempt."""
    retry_cap_seconds: float = Field(default=60, gt=0)
    """The longest pause between two attempts at an image. A source may ask for up to an hour by `Retry-After`."""

    dedupe_seconds: int = Field(default=24 * 3600, ge=0)
    """The time in which a result is used again for the same source and options. 0 turns all reuse off."""

    # Decoding.
    max_pixels: int = Field(default=50_000_000, gt=0)
    """The largest number of pixels in an image, all frames together."""
    max_side_pixels: int = Field(default=16_384, gt=0)
    """The longest side of an image, in pixels."""
    max_frames: int = Field(default=100, gt=0)
    """The largest number of frames in an animation."""
    max_buffered_pixels: int = Field(default=16_000_000, gt=0)
    """The largest number of pixels in a GIF, WebP, AVIF, BMP or interlaced PNG, all frames together."""
    max_progressive_pixels: int = Field(default=20_000_000, gt=0)
    """The largest number of pixels in a progressive JPEG."""
    max_image_cpu_seconds: float = Field(default=5, gt=0)
    """The CPU time to decode one image, estimated by its header and measured when it is slow. Past it, the image fails
    with `too_many_pixels`."""

    # Batches.
    image_timeout_seconds: float = Field(default=120, gt=0)
    """The time to compress one image. Then the attempt ends with `timeout`."""
    max_image_memory_bytes: int = Field(default=2048 * MEBIBYTE, gt=0)
    """The memory to compress one image. Past it, the attempt ends with `out_of_memory`."""
    max_memory_fraction: float = Field(default=0.9, gt=0, le=1)
    """The share of the machine's memory past which a compression that takes much ends with `out_of_memory`. Keep it
    below the share at which Ray ends whole processes, 0.95."""
    batch_timeout_seconds: float = Field(default=300, gt=0)
    """The time for one batch. Then its worker counts as hung and is ended, and its images are sent again."""
    batch_seconds: float = Field(default=1.5, gt=0)
    """The amount of work in one batch, as the time that one core needs for it."""
    max_batch_images: int = Field(default=256, gt=0)
    """The largest number of images in one batch."""
    downloads_per_task: int = Field(default=16, gt=0)
    """The largest number of downloads at the same time in one Ray task."""

    # Webhooks.
    webhook_timeout_seconds: float = Field(default=15, gt=0)
    """The time in which a webhook endpoint must answer."""
    webhook_retry_seconds: Annotated[tuple[float, ...], NoDecode] = (5, 300, 1800, 7200, 18000, 36000, 50400)
    """The pauses before each further call of a webhook, separated by commas. Each pause varies by up to 20%."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments in code come first, then the environment, then the settings file."""
        path = os.environ.get(f"{cls.model_config['env_prefix']}SETTINGS_FILE")
        values = {} if path is None else _read_settings_file(Path(path), cls.model_fields)
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [ip_network(part.strip()) for part in value.split(",") if part.strip()]

    @field_validator("allowed_ports", "webhook_retry_seconds", mode="before")
    @classmethod
    def _split_numbers(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(*_URL_SCHEMES)
    @classmethod
    def _check_scheme(cls, url: str | None, info: ValidationInfo) -> str | None:
        schemes = _URL_SCHEMES[info.field_name or ""]
        if url is not None and not url.startswith(schemes):
            # The message leaves the URL out, because it may hold a password.
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
    """Return the environment variables that have the prefix but name no setting. Most are misspelt."""
    prefix = str(Settings.model_config["env_prefix"])
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(prefix) and name not in known)
