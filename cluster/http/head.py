"""The meaning of the head of an answer, its status and its headers, for the owner of an image."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REDIRECTS = (301, 302, 303, 307, 308)
_CODE_BY_STATUS = {
    401: ImageErrorCode.FORBIDDEN,
    403: ImageErrorCode.FORBIDDEN,
    404: ImageErrorCode.NOT_FOUND,
    410: ImageErrorCode.NOT_FOUND,
    429: ImageErrorCode.RATE_LIMITED,
}
_MEANING = {
    ImageErrorCode.FORBIDDEN: "it does not let Darkroom read the image. Allow it there, or use another URL.",
    ImageErrorCode.NOT_FOUND: "it has no image at this URL. Correct the URL.",
    ImageErrorCode.RATE_LIMITED: "it got too many requests. Retry the image later.",
    ImageErrorCode.SOURCE_ERROR: "it has an error of its own. Retry the image later.",
    ImageErrorCode.HTTP_ERROR: "it did not send an image. Open the URL in a browser to see why.",
}
_PARTIAL = "The source sent a part of the image, but Darkroom asked for all of it. Retry the image later."
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"', re.ASCII)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_RANGE = re.compile(r"bytes\s+(\d{1,18})\s*-\s*(\d{1,18})\s*/\s*(\d{1,18})", re.ASCII | re.IGNORECASE)


def redirect_target(status: int, headers: Mapping[str, str]) -> str | None:
    """Return the `Location` of a redirect. None means that the answer is no redirect."""
    location = headers.get("Location")
    if status not in _REDIRECTS or location is None:
        return None
    # aiohttp reads all headers as UTF-8, but some are Latin-1.
    raw = location.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def check_status(status: int, headers: Mapping[str, str]) -> None:
    """Check that an answer brings the whole image.

    Raises:
        ImageError: It does not. The error holds the code, the status and the `Retry-After` of the source.
    """
    if status == HTTPStatus.PARTIAL_CONTENT and not _covers_all(headers.get("Content-Range", "")):
        raise ImageError(ImageErrorCode.DOWNLOAD_TRUNCATED, _PARTIAL, status)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    code = _CODE_BY_STATUS.get(status, ImageErrorCode.HTTP_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        code = ImageErrorCode.SOURCE_ERROR
    waits = status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    seconds = retry_after_seconds(headers.get("Retry-After", "")) if waits else None
    raise ImageError(code, f"The source answered {status}: {_MEANING[code]}", status, seconds)


def _covers_all(content_range: str) -> bool:
    """Return whether a range is known to be the whole. Source: RFC 9110, section 14.4."""
    found = _RANGE.fullmatch(content_range.strip())
    if found is None:
        return False
    first, last, total = (int(number) for number in found.groups())
    return first == 0 and last + 1 == total


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Return the ETag if it stands for the same bytes. Source: RFC 9110, section 8.8.3."""
    etag = headers.get("ETag", "").strip()
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def retry_after_seconds(value: str) -> float | None:
    """Return the value of a `Retry-After` header as seconds from now. None means that it is not valid.

    Source: RFC 9110, section 10.2.3.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
