"""The download of one image from an address that a stranger wrote."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from cluster.codes import ImageErrorCode
from cluster.errors import BlockedAddressError, ImageError
from cluster.http.content import ContentDecoder, ContentError
from cluster.http.cookies import FetchCookies
from cluster.http.head import check_status, redirect_target, strong_etag
from cluster.http.names import NameSilentError
from cluster.http.pool import TooMuchFramingError
from cluster.http.url import UrlError, WebUrl, parse_url

if TYPE_CHECKING:
    from cluster.settings import Settings

# Some sources refuse a request that does not ask for images.
_ACCEPT = "image/avif,image/webp,image/*,*/*;q=0.8"

_NO_ANSWER = "The source closed the connection without an answer. Check that it is up, then retry the image."
_NOT_HTTP = "The answer of the source is not valid HTTP. Check the server of the image, or use another URL."
_TOO_MUCH_FRAMING = (
    "The source sent far more bytes than the image has, beside the image itself. Check the server of the image."
)
_NO_NAME_SERVER = (
    "No name server answered for the host of the URL. Check the name servers of its domain, then retry the image."
)
_MAX_COMPRESSION_FRACTION = 16  # the part by which compression may make an image larger


@dataclass(frozen=True, slots=True)
class Download:
    """A good answer of a source.

    Attributes:
        data: The body after any decompression. Only that of a 304 is empty.
        http_status: 200 to 299, or 304 if the source still has the version that the caller knows.
        etag: The strong ETag as the source wrote it. None means that the source sent none for this URL.
    """

    data: bytes
    http_status: int
    etag: str | None = None

    @property
    def not_modified(self) -> bool:
        """Whether the source still has the version that the caller knows. There are no bytes then."""
        return self.http_status == HTTPStatus.NOT_MODIFIED


async def download(
    session: aiohttp.ClientSession, url: str, *, settings: Settings, known_etag: str | None = None
) -> Download:
    """Fetch one image, redirects included, within `download_timeout_seconds` and `max_image_bytes`.

    Args:
        session: A session of `guarded_session`.
        url: The URL as the catalogue has it.
        settings: `download_timeout_seconds`, `max_image_bytes` and `max_redirects` hold here.
        known_etag: The ETag of the version that the caller has. The source need not send that version again.

    Raises:
        ImageError: The image was not downloaded. The error holds the code, the status and `Retry-After` of the source.
    """
    try:
        async with asyncio.timeout(settings.download_timeout_seconds):
            return await _follow(session, url, settings, known_etag)
    except TimeoutError as error:
        message = (
            f"The source did not accept a connection within {settings.connect_timeout_seconds:g} seconds. "
            "Check that it is up, then retry the image."
            if isinstance(error, aiohttp.ConnectionTimeoutError)
            else f"The source did not send the whole image within {settings.download_timeout_seconds:g} seconds. "
            "Retry the image later."
        )
        raise ImageError(ImageErrorCode.TIMEOUT, message) from error


async def _follow(session: aiohttp.ClientSession, url: str, settings: Settings, known_etag: str | None) -> Download:
    target = _target(url)
    etag, redirected_by, cookies = known_etag, None, FetchCookies()
    for redirects in range(settings.max_redirects + 1):
        headers = {"Accept": _ACCEPT, **({} if etag is None else {"If-None-Match": etag}), **cookies.headers(target)}
        async with await _send(session, target, headers, redirected_by) as response:
            location = redirect_target(response.status, response.headers)
            if location is None:
                if response.status == HTTPStatus.NOT_MODIFIED and etag is not None:
                    return Download(b"", response.status, etag)
                check_status(response.status, response.headers)
                data = await _read(response, settings.max_image_bytes)
                return Download(data, response.status, None if redirects else strong_etag(response.headers))
            cookies.keep(target, response)
            # The ETag belongs to this URL. The target of a redirect may have another image.
            target, etag, redirected_by = _redirected(target, location, response.status), None, response.status
    message = f"The source redirects more than {settings.max_redirects} times. Use the URL of the image itself."
    raise ImageError(ImageErrorCode.TOO_MANY_REDIRECTS, message, response.status)


def _target(url: str) -> WebUrl:
    try:
        return parse_url(url)
    except UrlError as error:
        message = f"The URL cannot be fetched: {error}. Correct it."
        raise ImageError(ImageErrorCode.HTTP_ERROR, message) from error


def _redirected(source: WebUrl, location: str, status: int) -> WebUrl:
    try:
        return source.join(location)
    except UrlError as error:
        message = f"The source redirects to a URL that cannot be fetched: {error}. Use another URL."
        raise ImageError(ImageErrorCode.HTTP_ERROR, message, status) from error


async def _send(
    session: aiohttp.ClientSession, target: WebUrl, headers: dict[str, str], redirected_by: int | None
) -> aiohttp.ClientResponse:
    try:
        response = await session.get(target.for_aiohttp, allow_redirects=False, headers=headers)
    except BlockedAddressError as error:
        raise ImageError(ImageErrorCode.BLOCKED_ADDRESS, str(error)) from error
    except aiohttp.ClientConnectorDNSError as error:
        if isinstance(error.os_error, NameSilentError):
            raise ImageError(ImageErrorCode.DNS_UNAVAILABLE, _NO_NAME_SERVER, redirected_by) from error
        raise _no_address(target, redirected_by) from error
    except aiohttp.InvalidURL as error:
        raise _no_address(target, redirected_by) from error
    except aiohttp.ServerTimeoutError:
        raise
    except TooMuchFramingError as error:
        raise ImageError(ImageErrorCode.TOO_LARGE, _TOO_MUCH_FRAMING, redirected_by) from error
    except aiohttp.ClientResponseError as error:
        raise ImageError(ImageErrorCode.HTTP_ERROR, _NOT_HTTP, redirected_by) from error
    except aiohttp.ClientError as error:
        raise ImageError(ImageErrorCode.CONNECTION_FAILED, _connection_message(error)) from error
    if response.status < HTTPStatus.OK:  # a switch of protocols, or not a valid status
        response.close()
        raise ImageError(ImageErrorCode.HTTP_ERROR, _NOT_HTTP, redirected_by)
    return response


def _no_address(target: WebUrl, redirected_by: int | None) -> ImageError:
    message = f"The host name {target.host} could not be resolved. Check its spelling in the URL."
    return ImageError(ImageErrorCode.DNS_FAILED, message, redirected_by)


def _connection_message(error: aiohttp.ClientError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "A secure connection to the source failed. Check that its certificate is valid and not expired."
        cause = cause.__cause__
    if isinstance(error, aiohttp.ClientConnectorError):
        return "The source did not accept a connection. Check that it is up, then retry the image."
    return _NO_ANSWER


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    status = response.status
    too_large = ImageError(
        ImageErrorCode.TOO_LARGE, f"The image is larger than the limit of {max_bytes:,} bytes. Make it smaller.", status
    )
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    left = max_bytes
    wire_left = max_bytes + max_bytes // _MAX_COMPRESSION_FRACTION
    try:
        decoder = ContentDecoder(response.headers.get("Content-Encoding", ""))
        while raw := await response.content.readany():
            part = decoder.decode(raw, left + 1)
            left -= len(part)
            wire_left -= len(raw)
            if left < 0 or wire_left < 0:
                raise too_large
            parts.append(part)
        decoder.finish()
    except ContentError as error:
        code = ImageErrorCode.DOWNLOAD_TRUNCATED if error.truncated else ImageErrorCode.HTTP_ERROR
        raise ImageError(code, str(error), status) from error
    except TooMuchFramingError as error:
        raise ImageError(ImageErrorCode.TOO_LARGE, _TOO_MUCH_FRAMING, status) from error
    except aiohttp.ClientError as error:
        message = "The source closed the connection before the image was complete. Retry the image later."
        raise ImageError(ImageErrorCode.DOWNLOAD_TRUNCATED, message, status) from error
    if left == max_bytes:
        raise ImageError(ImageErrorCode.EMPTY, "The source sent an empty file. Check the URL.", status)
    return b"".join(parts)
