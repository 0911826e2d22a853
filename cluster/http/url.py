"""The only module that takes a web address apart, so that the guard, the limits and the connection agree about it.

A browser would read an address in the same way. Source: the URL Standard, https://url.spec.whatwg.org/#url-parsing.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import lru_cache

import httpx
from yarl import URL

MAX_URL_CHARACTERS = 8_192

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_MAX_CACHED_HOSTS = 1_024

# Nearly every URL of a catalogue is this plain, and has no problem. To parse a million of them takes half a minute.
_PLAIN_ORIGIN = r"(https?)://((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})(?::([1-9][0-9]{0,3}))?"
_PLAIN = re.compile(rf"{_PLAIN_ORIGIN}(?:[/?#][\x21-\x5b\x5d-\x7e]*)?", re.IGNORECASE | re.ASCII)
_PLAIN_BEGINNING = re.compile(rf"{_PLAIN_ORIGIN}[/?#]?", re.IGNORECASE | re.ASCII)
_HOST = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f]*:[0-9a-f:.]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUERY_OR_FRAGMENT = re.compile(r"[?#]")
# Everything before the path, and the character that ends it.
_BEFORE_PATH = re.compile(r"[^/\\?#]*[/\\]*[^/\\?#]*[/\\?#]?")


class UrlError(ValueError):
    """A text is not a web address. `str()` of the error says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class WebUrl:
    """A web address, taken apart and in its normal form.

    Attributes:
        text: The whole address, in ASCII.
        scheme: `http` or `https`.
        host: A name in ASCII, or an IP address without brackets.
        port: The port to connect to, also when the address names none.
        target: The path and the query as they go out, byte for byte.
        has_credentials: Whether `text` holds a user name or a password. No request sends them.
    """

    text: str
    scheme: str
    host: str
    port: int
    target: str
    has_credentials: bool

    def __str__(self) -> str:
        return self.text

    @property
    def host_and_port(self) -> str:
        """The key under which the limits of a host are kept."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """The scheme, the host and the port. `text` begins with it unless it holds a user name or a password."""
        return f"{self.scheme}://{self._authority}"

    @property
    def for_aiohttp(self) -> URL:
        """The URL that makes aiohttp connect to this host and port, and send this target."""
        # The query goes as a part of the path, since yarl would lose one that is empty.
        return URL.build(scheme=self.scheme, authority=self._authority, path=self.target, encoded=True)

    @property
    def without_query(self) -> URL:
        """The URL by which a jar chooses cookies."""
        return URL.build(
            scheme=self.scheme, authority=self._authority, path=self.target.partition("?")[0], encoded=True
        )

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def join(self, location: str) -> WebUrl:
        r"""Return the address that a redirect of this one leads to. `\` counts as `/`, as in a URL.

        Raises:
            UrlError: The redirect leads to something that is not a web address.
        """
        try:
            joined = httpx.URL(self.text).join(_with_slashes(location.strip()))
        except (httpx.InvalidURL, ValueError) as error:  # ValueError: half of a surrogate pair
            raise UrlError("its host or port is not valid") from error
        return parse_url(str(joined))


def parse_url(text: str) -> WebUrl:
    r"""Take a URL apart as a browser would.

    White space around it is cut off. `\` counts as `/`. Spaces and non-ASCII characters are percent-encoded. An IPv4
    address in one of its old spellings, such as 127.1 or 0x7f000001, becomes the address in four parts.

    Raises:
        UrlError: The text is not an address that begins with http:// or https:// and has a valid host and port.
    """
    if _CONTROL.search(text):
        raise UrlError("it has control characters in it")
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise UrlError("it must start with http:// or https://")
    try:
        url = httpx.URL(f"{scheme}://{_with_slashes(rest)}")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UrlError("its host or port is not valid") from error
    port = _DEFAULT_PORTS[scheme] if url.port is None else url.port
    if not _HOST.fullmatch(url.raw_host) or not 0 < port <= _MAX_PORT:
        raise UrlError("its host or port is not valid")
    url = _with_plain_address(url)
    return WebUrl(
        text=str(url),
        scheme=scheme,
        host=url.raw_host.decode("ascii"),
        port=port,
        target=url.raw_path.decode("ascii"),
        has_credentials=bool(url.userinfo),
    )


def _with_slashes(text: str) -> str:
    r"""Return the text with `/` for each `\` before the query and the fragment."""
    found = _QUERY_OR_FRAGMENT.search(text)
    end = found.start() if found else len(text)
    return text[:end].replace("\\", "/") + text[end:]


def _with_plain_address(url: httpx.URL) -> httpx.URL:
    host = url.raw_host.decode("ascii")
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:  # a name, or an IPv6 address
        return url
    return url if address == host else url.copy_with(host=address)


def url_problem(text: str) -> str | None:
    """Return the reason why a text may not be fetched, as the end of a sentence. None means that it may.

    A URL may have at most 8,192 characters. A user name or password in it is refused.
    """
    if len(text) > MAX_URL_CHARACTERS:
        return f"it has {len(text):,} characters and may have {MAX_URL_CHARACTERS:,}"
    if _PLAIN.fullmatch(text):
        return None
    try:
        url = parse_url(text)
    except UrlError as error:
        return str(error)
    return "it must not have a user name or password in it" if url.has_credentials else None


def host_of(text: str) -> str:
    """Return the host and port that a fetch of the URL connects to. It is empty for a text that is not a URL."""
    return _host_of_beginning(_without_path(text))


@lru_cache(maxsize=_MAX_CACHED_HOSTS)
def _host_of_beginning(beginning: str) -> str:
    """Return the host and port. Many images share one beginning, so the cache holds it for most calls."""
    plain = _PLAIN_BEGINNING.fullmatch(beginning)
    if plain is not None:
        scheme, host, port = plain.groups()
        return f"{host.lower()}:{port or _DEFAULT_PORTS[scheme.lower()]}"
    url = _parsed(beginning)
    return "" if url is None else url.host_and_port


def origin_of(text: str) -> str:
    """Return the origin of a URL. It is empty for a text that is not a URL."""
    url = _parsed(_without_path(text))
    return "" if url is None else url.origin


def path_of(text: str) -> str:
    """Return the path of a URL, or of the target of an HTTP request, without percent-encoding."""
    return httpx.URL(text).path


def origin_pattern(origin: str) -> str:
    """Return a regular expression for all texts that are URLs of an origin. It is to ignore case."""
    return rf"^{re.escape(origin)}(?:[/\\?#]|$)"


# The addresses of stores and of Ray. You set them, and no stranger does. Nothing is refused or normalised.


def scheme_of_store(text: str) -> str:
    """Return the scheme of a store's URL."""
    return URL(text).scheme


def in_subdomain(text: str, name: str) -> str:
    """Return the URL with a name and a dot in front of its host."""
    url = URL(text)
    return str(url.with_host(f"{name}.{url.host}"))


def in_path(text: str, name: str) -> str:
    """Return the URL with a name at the end of its path."""
    return str(URL(text) / name)


def host_of_ray(address: str) -> str:
    """Return the host of `host:port` or of `ray://host:port`."""
    return address.removeprefix("ray://").rsplit(":", 1)[0]


def _without_path(text: str) -> str:
    found = _BEFORE_PATH.match(text)
    return found[0] if found else text


def _parsed(text: str) -> WebUrl | None:
    try:
        return parse_url(text)
    except UrlError:
        return None
