from __future__ import annotations

import ast
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.http.url import (
    UrlError,
    WebUrl,
    host_of,
    host_of_ray,
    in_path,
    in_subdomain,
    origin_of,
    origin_pattern,
    parse_url,
    path_of,
    scheme_of_store,
    url_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
PACKAGES = ("cluster", "actors", "deployments")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("https://cdn.example/a.jpg?v=1", "https://cdn.example/a.jpg?v=1"),
        (" HTTP://Shop.Example/A ", "http://shop.example/A"),
        ("https://shop.example/my shoe.jpg", "https://shop.example/my%20shoe.jpg"),
        ("https://shop.example/schön.jpg", "https://shop.example/sch%C3%B6n.jpg"),
        ("https://shop.example/100%25.jpg", "https://shop.example/100%25.jpg"),
        ("https://shop.example/a%20b.jpg", "https://shop.example/a%20b.jpg"),
        ("https://shop.example\\img\\a.jpg?x=\\", "https://shop.example/img/a.jpg?x=\\"),
        ("https://münchen.example/x", "https://xn--mnchen-3ya.example/x"),
        ("https://cdn.example/w_100,h_100/a.jpg", "https://cdn.example/w_100,h_100/a.jpg"),
        ("http://img_1.example:8080/x", "http://img_1.example:8080/x"),
        ("http://[2606:4700::1]/x", "http://[2606:4700::1]/x"),
        ("http://127.1/x", "http://127.0.0.1/x"),
        ("http://0x7f000001:8080/x?y=1", "http://127.0.0.1:8080/x?y=1"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.0.1.example/", "http://0x7f.0.1.example/"),
    ],
)
def test_a_url_is_read_as_a_browser_reads_it(text: str, requested: str) -> None:
    assert url_problem(text) is None
    assert parse_url(text).text == requested


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("htp://x", "must start with http:// or https://"),
        ("ftp://shop.example/a.jpg", "must start with"),
        ("//shop.example/a.jpg", "must start with"),
        ("shop.example/a.jpg", "must start with"),
        ("data:image/png;base64,AAAA", "must start with"),
        ("http://", "host or port"),
        ("http:///a.jpg", "host or port"),
        ("http://./a.jpg", "host or port"),
        ("http://a..b/a.jpg", "host or port"),
        ("http://a b/a.jpg", "host or port"),
        ("http://1.2.3.999/a.jpg", "host or port"),
        ("http://[::1", "host or port"),
        ("http://shop.example:99999/", "host or port"),
        ("http://shop.example:0/", "host or port"),
        ("http://shop.example:x/", "host or port"),
        ("http://\ud800.example/", "host or port"),
        ("http://\u017fhop.example/", "host or port"),
        ("http\u017f://shop.example/", "must start with"),
        ("http://shop.example/a\x00b", "control characters"),
        ("http://shop.example/a\nb", "control characters"),
        ("https://user:secret@shop.example/a.jpg", "user name or password"),
        ("https://user@shop.example/a.jpg", "user name or password"),
        ("https://shop.example/" + "a" * 8_192, "may have 8,192"),
    ],
)
def test_an_invalid_url_has_a_reason(text: str, problem: str) -> None:
    assert problem in (url_problem(text) or "")


def test_a_presigned_url_with_a_session_token_is_not_too_long() -> None:
    assert url_problem(("https://shop.example/a.jpg?X-Amz-Security-Token=" + "a" * 8_192)[:8_192]) is None


@pytest.fixture(scope="module")
def texts() -> dict[str, WebUrl | None]:
    """Texts that begin like URLs, each with the URL that it is."""
    seeded = random.Random(7)  # noqa: S311 - repeatable test data
    pieces = [*"ab1.-_:/?#@[]%\\ éx\u017f", "0x7f", "shop.example", ":80", ":443", "::1", "[::1]", "\ud800", "\x1f"]
    schemes = ["http://", "https://", "HTTP://", "Https://"]
    made = ["".join([seeded.choice(schemes), *seeded.choices(pieces, k=seeded.randint(0, 9))]) for _ in range(20_000)]
    return {text: parsed(text) for text in made}


@pytest.fixture(scope="module")
def urls(texts: dict[str, WebUrl | None]) -> dict[str, WebUrl]:
    found = {text: url for text, url in texts.items() if url is not None}
    assert len(found) > 1_000
    return found


def parsed(text: str) -> WebUrl | None:
    try:
        return parse_url(text)
    except UrlError:
        return None


def test_a_url_without_a_problem_can_always_be_parsed(texts: dict[str, WebUrl | None]) -> None:
    for text, url in texts.items():
        assert (url_problem(text) is None) == (url is not None and not url.has_credentials), ascii(text)


def test_a_url_means_one_address_to_the_limits_and_to_aiohttp(urls: dict[str, WebUrl]) -> None:
    for text, url in urls.items():
        sent = url.for_aiohttp
        assert (sent.raw_host, sent.port, sent.raw_path) == (url.host, url.port, url.target), ascii(text)
        assert (host_of(text), origin_of(text)) == (url.host_and_port, url.origin), ascii(text)


def test_the_normal_form_of_a_url_is_read_as_the_same_url(urls: dict[str, WebUrl]) -> None:
    for text, url in urls.items():
        assert parse_url(url.text) == url, ascii(text)
        assert url.has_credentials or url.text.startswith(url.origin), ascii(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (
            "HTTPS://Shop.Example/a b?#c",
            WebUrl("https://shop.example/a%20b?#c", "https", "shop.example", 443, "/a%20b?", has_credentials=False),
        ),
        (
            "http://user:secret@[::1]:8080",
            WebUrl("http://user:secret@[::1]:8080", "http", "::1", 8080, "/", has_credentials=True),
        ),
    ],
)
def test_a_url_has_parts(text: str, url: WebUrl) -> None:
    assert parse_url(text) == url
    assert str(url) == url.text


@pytest.mark.parametrize("port", ["", ":443"])
def test_the_usual_port_is_left_out(port: str) -> None:
    assert parse_url(f"HTTPS://shop.example{port}/a").text == "https://shop.example/a"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("b.jpg", "http://shop.example:8080/images/b.jpg"),
        ("/b c.jpg?x#d", "http://shop.example:8080/b%20c.jpg?x#d"),
        ("//cdn.example/b.jpg", "http://cdn.example/b.jpg"),
        ("https://127.1/b.jpg", "https://127.0.0.1/b.jpg"),
        (r"\b\c.jpg?x=\d", r"http://shop.example:8080/b/c.jpg?x=\d"),
        (r"b\c.jpg", "http://shop.example:8080/images/b/c.jpg"),
        (r"..\c.jpg", "http://shop.example:8080/c.jpg"),
        (r"\\cdn.example\b.jpg", "http://cdn.example/b.jpg"),
        (r"/\127.1/b.jpg", "http://127.0.0.1/b.jpg"),
        (r"https:\\cdn.example\b.jpg", "https://cdn.example/b.jpg"),
        (r" https://cdn.example\@shop.example/b.jpg ", "https://cdn.example/@shop.example/b.jpg"),
        ("", "http://shop.example:8080/images/a.jpg?v=1"),
    ],
)
def test_a_redirect_is_read_from_where_it_was_found(location: str, url: str) -> None:
    assert parse_url("http://shop.example:8080/images/a.jpg?v=1").join(location).text == url


@pytest.mark.parametrize("location", ["ftp://shop.example/", "https://", "http://[::1", "//a..b/", "http://\ud800/"])
def test_a_redirect_to_something_else_is_an_error(location: str) -> None:
    with pytest.raises(UrlError):
        parse_url("http://shop.example/").join(location)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Shop.Example/a.jpg", "shop.example:443"),
        ("http://shop.example/a.jpg", "shop.example:80"),
        ("http://user:secret@shop.example:8080/a.jpg", "shop.example:8080"),
        ("http://[::1]:9/a.jpg", "::1:9"),
        ("http://127.1/a.jpg", "127.0.0.1:80"),
        ("http://shop.example\\@other.example/a.jpg", "shop.example:80"),
        ("http://shop.example:port/", ""),
        ("shop.example/a.jpg", ""),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize("rest", ["", "/", "/a?b#c", "?b", "#c", "\\a"])
def test_the_origin_of_a_url_is_all_before_its_path(rest: str) -> None:
    assert origin_of(f"https://Shop.example:8443{rest}") == "https://shop.example:8443"
    assert origin_of(f"Shop.example:8443{rest}") == ""


@pytest.mark.parametrize("rest", ["", "/", "/a?b#c", "?b", "#c", "\\a"])
def test_the_pattern_of_an_origin_matches_its_urls_alone(rest: str) -> None:
    pattern = re.compile(origin_pattern("https://shop.example:844"), re.IGNORECASE)
    assert pattern.match(f"HTTPS://Shop.example:844{rest}")
    assert not pattern.match(f"https://shop.example:8443{rest}")
    assert not pattern.match(f"https://shopxexample:844{rest}")


@pytest.mark.parametrize("beginning", ["", "http://shop.example:80"])
def test_a_path_is_told_without_its_encoding(beginning: str) -> None:
    assert path_of(f"{beginning}/plain/my%20shoe%2B.jpg?a=/b#c") == "/plain/my shoe+.jpg"


def test_the_addresses_of_stores_and_of_ray_have_parts() -> None:
    assert scheme_of_store("https://s3.example:9000/a") == "https"
    assert in_subdomain("https://s3.example:9000", "photos") == "https://photos.s3.example:9000"
    assert in_path("https://s3.example/proxy", "photos") == "https://s3.example/proxy/photos"
    assert host_of_ray("ray://head.example:10001") == host_of_ray("head.example:6379") == "head.example"


def test_no_other_module_takes_a_url_apart() -> None:
    """Two parsers that judge one address differently are a way past the guard."""
    allowed = {
        "cluster/http/url.py": {"httpx.URL", "yarl.URL"},
        # To write a name into a path takes nothing apart.
        "cluster/client/transport.py": {"urllib.parse.quote"},
        "cluster/s3/bucket.py": {"urllib.parse.quote"},
        "deployments/demo/image_host.py": {"urllib.parse.quote"},
        # It hands a signed URL to aiohttp as it is.
        "cluster/s3/object_writer.py": {"urllib.parse.quote", "yarl.URL"},
    }
    assert {name: found for name, found in parsers_by_module() if found} == allowed
    assert uses_of("URL", ROOT / "cluster/s3/object_writer.py") == ["URL(url, encoded=True)"]


def uses_of(name: str, path: Path) -> list[str]:
    """The calls of a class, and `name` itself for each other use."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == name]
    called = {id(node.func) for node in calls}
    others = [node for node in nodes if isinstance(node, ast.Name) and node.id == name and id(node) not in called]
    return [ast.unparse(node) for node in [*calls, *others]]


def parsers_by_module() -> Iterator[tuple[str, set[str]]]:
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        yield str(path.relative_to(ROOT)), {name for name in names_of(tree) if is_parser(name)}


def is_parser(name: str) -> bool:
    return name == "httpx.URL" or name.startswith(("yarl", "urllib", "urllib3.util", "rfc3986"))


def names_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_no_other_module_looks_for_the_parts_of_a_url_in_its_text() -> None:
    allowed = [
        "cluster/client/transport.py",  # the address of the service, which the caller names
        "cluster/http/url.py",
        "cluster/settings.py",  # the addresses of the stores, which the operator names
        "deployments/api/admission.py",  # the text of a message
        "deployments/api/browsers.py",  # the origins of a page of its own, which it writes
        "deployments/catalogue/image_urls.py",  # where the next address of a cell begins
        # The others only write an address.
        "deployments/cli/node_checks.py",
        "deployments/cli/options.py",
        "deployments/cli/up.py",
        "deployments/demo/loopback.py",
        "deployments/local/mongod.py",
        "deployments/local/ray_head.py",
        "deployments/local/redis_server.py",
        "deployments/local/remedies.py",
        "deployments/local/seaweedfs.py",
        "deployments/local/stack.py",
    ]
    assert [str(path.relative_to(ROOT)) for path in SOURCES if names_a_scheme(path)] == allowed


def names_a_scheme(path: Path) -> bool:
    """Whether a text in the code, but for the docstrings, holds `://`."""
    tree = ast.parse(path.read_text())
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return any("://" in str(node.value) for node in texts if id(node) not in docstrings)
