"""The closed list of reasons why an image fails."""

from __future__ import annotations

from enum import StrEnum


class ImageErrorCode(StrEnum):
    """A reason why an image failed. Results, webhooks and metrics use these codes and no others."""

    # The source, transient.
    TIMEOUT = "timeout"
    CONNECTION_FAILED = "connection_failed"
    DNS_UNAVAILABLE = "dns_unavailable"
    DOWNLOAD_TRUNCATED = "download_truncated"
    SOURCE_ERROR = "source_error"
    RATE_LIMITED = "rate_limited"
    # The source, permanent.
    SOURCE_UNAVAILABLE = "source_unavailable"
    DNS_FAILED = "dns_failed"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    HTTP_ERROR = "http_error"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BLOCKED_ADDRESS = "blocked_address"
    TOO_LARGE = "too_large"
    # The bytes, permanent.
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_IMAGE = "corrupt_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    ENCODE_FAILED = "encode_failed"
    MAX_BYTES_EXCEEDED = "max_bytes_exceeded"
    # The worker, transient.
    DECODER_CRASHED = "decoder_crashed"
    OUT_OF_MEMORY = "out_of_memory"
    INTERNAL_ERROR = "internal_error"
    # The request ended first.
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"

    @property
    def transient(self) -> bool:
        """Whether the same image may succeed when it is tried again later."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        ImageErrorCode.TIMEOUT,
        ImageErrorCode.CONNECTION_FAILED,
        ImageErrorCode.DNS_UNAVAILABLE,
        ImageErrorCode.DOWNLOAD_TRUNCATED,
        ImageErrorCode.SOURCE_ERROR,
        ImageErrorCode.RATE_LIMITED,
        ImageErrorCode.DECODER_CRASHED,
        ImageErrorCode.OUT_OF_MEMORY,
        ImageErrorCode.INTERNAL_ERROR,
    },
)
