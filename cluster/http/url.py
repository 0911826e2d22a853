"""Web addresses as people write them in a catalogue, and as a browser would read them."""

from __future__ import annotations

import re
import socket

import httpx

MAX_URL_CHARACTERS = 2_048

SCHEMES = ("http", "https")

# Nearly every URL of a catalogue is this plain; parsing a million of them in full takes half a minute.
_PLAIN = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}(?::[1-9][0-9]{0,3})?(?:[/?#][\x21-\x5b\x5d-\x7e]*)?",
    re.IGNORECASE,
)
_HOST = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f]*:[0-9a-f:.]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATH_END = re.compile(r"[?#]")
_ORIGIN = re.compile(r"[^/\\?#]*[/\\]*[^/\\?#]*")


def url_problem(text: str) -> str | None:
    """What keeps a text from being a web address that may be fetched, as the end of a sentence; None when nothing does.

    At most 2,048 characters, http or https, a host, no control characters, no user name or password.
    """
    if len(text) > MAX_URL_CHARACTERS:
        return f"it has {len(text):,} characters and may have {MAX_URL_CHARACTERS:,}"
    return None if _PLAIN.fullmatch(text) else _problem_in_full(text)


def _problem_in_full(text: str) -> str | None:
    if _CONTROL.search(text):
        return "it has control characters in it"
    if not text.strip().lower().startswith(("http://", "https://")):
        return "it must start with http:// or https://"
    try:
        url = parse_url(text)
    except httpx.InvalidURL:
        return "its host or port is not valid"
    if url.userinfo:
        return "it must not have a user name or password in it"
    return None


def parse_url(text: str) -> httpx.URL:
    r"""The URL as a browser would request it: trimmed, `\` read as `/`, spaces and non-ASCII percent-encoded.

    An IPv4 address in one of its old spellings, such as 127.1 or 0x7f000001, becomes the address in four parts.

    Source: the URL Standard, https://url.spec.whatwg.org/#url-parsing.

    Raises:
        httpx.InvalidURL: It has no host, or one that cannot be; or its port is not one.
    """
    text = text.strip()
    found = _PATH_END.search(text)
    end = found.start() if found else len(text)
    try:
        url = httpx.URL(text[:end].replace("\\", "/") + text[end:])
    except UnicodeError as error:
        raise httpx.InvalidURL(str(error)) from error
    if not _HOST.fullmatch(url.raw_host):
        message = "no host, or not one that can be"
        raise httpx.InvalidURL(message)
    if url.port is not None and not 0 < url.port <= 65_535:  # noqa: PLR2004 - the largest TCP port
        message = "port out of range"
        raise httpx.InvalidURL(message)
    return _with_plain_address(url)


def origin_of(text: str) -> str:
    """The beginning of a URL, up to its path: scheme, host and port as they are written."""
    found = _ORIGIN.match(text)
    return found[0] if found else ""


def _with_plain_address(url: httpx.URL) -> httpx.URL:
    host = url.raw_host.decode("ascii")
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:  # a name, or an IPv6 address
        return url
    return url if address == host else url.copy_with(host=address)
