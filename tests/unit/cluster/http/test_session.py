"""A guarded session: the addresses that it connects to, and the requests that it sends."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from cluster.codes import ImageErrorCode
from cluster.errors import BlockedAddressError, ImageError
from cluster.http.download import download
from cluster.http.guard import Guard
from cluster.http.names import NameResolver, NameSilentError
from cluster.http.session import GuardedResolver, guarded_session
from cluster.http.url import parse_url
from cluster.settings import Settings
from tests.support.dns_server import dns_server
from tests.support.origin import Origin, reply
from tests.unit.cluster.http.raw import packet_swallower
from tests.unit.cluster.http.sessions import OPEN, body_of, session_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def never(host: str, port: int) -> list[str]:
    await asyncio.Event().wait()
    return []


@pytest.fixture
async def nowhere() -> AsyncIterator[NameResolver]:
    """A resolver whose name server knows no name."""
    async with dns_server({}) as server:
        yield NameResolver(timeout_seconds=5, nameservers=[server.address])


async def failure(session: aiohttp.ClientSession, url: str, settings: Settings = OPEN) -> ImageError:
    with pytest.raises(ImageError) as caught:
        await download(session, url, settings=settings)
    return caught.value


async def test_the_name_stays_in_the_host_header_while_the_address_is_pinned(origin: Origin) -> None:
    origin.route("/a", reply(b"hello"))
    async with session_for("127.0.0.1") as session:
        assert await body_of(session, f"http://shop.example:{origin.port}/a") == b"hello"
    assert origin.requests[0].headers["host"] == f"shop.example:{origin.port}"


@pytest.mark.parametrize(
    "answers",
    [("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "127.0.0.1"), ("127.0.0.1", "::1"), ("93.184.216.34", "192.168.0.1")],
)
async def test_one_blocked_answer_refuses_the_host(origin: Origin, answers: tuple[str, ...]) -> None:
    async with session_for(*answers) as session:
        with pytest.raises(BlockedAddressError, match=r"^Darkroom may not connect to shop\.example"):
            await body_of(session, f"http://shop.example:{origin.port}/")
    assert origin.requests == []


async def test_a_blocked_answer_beyond_those_that_are_tried_refuses_too(origin: Origin) -> None:
    async with session_for(*["127.0.0.1"] * 20, "10.0.0.1") as session:
        with pytest.raises(BlockedAddressError):
            await body_of(session, f"http://shop.example:{origin.port}/")
    assert origin.requests == []


async def test_a_name_that_changes_its_mind_is_asked_once_and_checked_again(origin: Origin) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    origin.route("/", reply(b"hello", headers={"Connection": "close"}))
    async with guarded_session(OPEN, max_connections=4, resolve=resolve) as session:
        assert await body_of(session, f"http://shop.example:{origin.port}/") == b"hello"
        with pytest.raises(BlockedAddressError):
            await body_of(session, f"http://shop.example:{origin.port}/")
    assert asked == ["shop.example", "shop.example"]


async def test_the_next_address_is_tried_when_the_first_refuses(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    settings = OPEN.model_copy(update={"allowed_networks": (IPv4Network("127.0.0.0/8"),)})
    async with session_for("127.0.0.2", "127.0.0.1", settings=settings) as session:
        assert await body_of(session, f"http://shop.example:{origin.port}/") == b"hello"


async def test_the_next_address_is_tried_when_the_first_swallows_packets(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    settings = OPEN.model_copy(update={"allowed_networks": (IPv4Network("127.0.0.0/8"),)})
    with packet_swallower("127.0.0.2", origin.port):
        async with session_for("127.0.0.2", "127.0.0.1", settings=settings) as session:
            assert await body_of(session, f"http://shop.example:{origin.port}/") == b"hello"


@pytest.mark.parametrize("host", ["shop.example", "93.184.216.34"])
async def test_a_refused_port_of_a_public_host_gets_no_connection(host: str) -> None:
    async with session_for("93.184.216.34") as session:
        error = await failure(session, f"http://{host}:22/")
    assert error.code is ImageErrorCode.BLOCKED_ADDRESS
    assert error.message.startswith(f"Darkroom may not connect to {host} on port 22. ")


@pytest.mark.parametrize("url", ["http://db.internal/", "http://mongo/", "http://no-such-host.invalid:6379/"])
async def test_a_blocked_host_is_refused_alike_whether_or_not_it_exists(url: str) -> None:
    messages = []
    for addresses in ((), ("10.0.0.1",)):
        async with session_for(*addresses) as session:
            error = await failure(session, url)
        assert error.code is ImageErrorCode.BLOCKED_ADDRESS
        messages.append(error.message)
    assert messages[0] == messages[1]


SPELLINGS = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]"]  # noqa: S104 - nobody binds
OLD_SPELLINGS = ["127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.1", "0"]


@pytest.mark.parametrize("host", ["localhost", *SPELLINGS, *OLD_SPELLINGS])
async def test_every_spelling_of_loopback_is_refused(origin: Origin, host: str) -> None:
    async with guarded_session(Settings(), max_connections=1) as session:
        error = await failure(session, f"http://{host}:{origin.port}/", Settings())
    assert error.code is ImageErrorCode.BLOCKED_ADDRESS
    assert origin.requests == []


@pytest.mark.parametrize("host", ["localhost", *SPELLINGS, *OLD_SPELLINGS])
async def test_the_session_itself_refuses_them_too(origin: Origin, host: str) -> None:
    async with guarded_session(Settings(), max_connections=1) as session:
        with pytest.raises((BlockedAddressError, aiohttp.InvalidURL)):
            await body_of(session, f"http://{host}:{origin.port}/")
    assert origin.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_the_socket_is_checked_even_if_nobody_has_checked_the_name(
    origin: Origin, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(self: GuardedResolver, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    monkeypatch.setattr(GuardedResolver, "resolve", unchecked)
    async with guarded_session(Settings(), max_connections=1) as session:
        with pytest.raises(BlockedAddressError):
            await body_of(session, f"http://shop.example:{origin.port}/")
    assert origin.requests == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "999.1", "08.1"])
async def test_a_name_without_an_address_could_not_be_resolved(host: str, nowhere: NameResolver) -> None:
    async with guarded_session(OPEN, max_connections=1, resolve=nowhere) as session:
        error = await failure(session, f"http://{host}/")
    assert error.code is ImageErrorCode.DNS_FAILED
    assert error.message == f"The host name {host} could not be resolved. Check its spelling in the URL."


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
async def test_a_name_without_an_address_is_a_resolution_error(host: str, nowhere: NameResolver) -> None:
    async with guarded_session(OPEN, max_connections=1, resolve=nowhere) as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await body_of(session, f"http://{host}/")


@pytest.mark.parametrize(("host", "port"), [("printer.local", 80), ("shop.example", 22)])
@pytest.mark.parametrize("error", [NameSilentError("no answer"), TimeoutError()], ids=["broken", "late"])
async def test_a_silent_name_that_could_only_be_blocked_is_blocked(host: str, port: int, error: OSError) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise error

    resolver = GuardedResolver(Guard(allowed_ports=(80,)), resolve, timeout_seconds=1)
    with pytest.raises(BlockedAddressError):
        await resolver.resolve(host, port)


async def test_an_empty_answer_is_a_resolution_error() -> None:
    async with session_for() as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await body_of(session, "http://shop.example/")


async def test_a_resolver_that_does_not_answer_is_a_resolution_error() -> None:
    settings = OPEN.model_copy(update={"connect_timeout_seconds": 0.5})
    started = time.monotonic()
    async with guarded_session(settings, max_connections=1, resolve=never) as session:
        assert (await failure(session, "http://shop.example/", settings)).code is ImageErrorCode.DNS_UNAVAILABLE
    assert time.monotonic() - started < 1


async def test_the_time_to_connect_has_the_resolution_in_it() -> None:
    async def slowly(host: str, port: int) -> list[str]:
        await asyncio.sleep(0.4)
        return ["127.0.0.1"] * 3

    settings = OPEN.model_copy(update={"connect_timeout_seconds": 0.6})
    with packet_swallower() as port:
        started = time.monotonic()
        async with guarded_session(settings, max_connections=1, resolve=slowly) as session:
            error = await failure(session, f"http://shop.example:{port}/", settings)
    assert error.code is ImageErrorCode.TIMEOUT
    assert error.message.startswith("The source did not accept a connection within 0.6 seconds. Check that it is up")
    assert time.monotonic() - started < 0.9


async def test_a_closed_port_is_a_connect_error() -> None:
    with Origin() as closed:
        port = closed.port
    async with guarded_session(OPEN, max_connections=1) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await body_of(session, f"http://127.0.0.1:{port}/")
    assert not isinstance(caught.value, aiohttp.ClientConnectorDNSError)


async def test_the_session_introduces_itself_and_remembers_nothing(
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "netrc").write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    origin.route("/", reply(b"hello", headers={"Set-Cookie": "session=1; Path=/"}))
    async with session_for("127.0.0.1") as session:
        for _ in range(2):
            await download(session, f"http://shop.example:{origin.port}/", settings=OPEN)
    headers = origin.requests[1].headers
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding"}
    assert headers["user-agent"].startswith("Darkroom/")
    assert headers["accept"].startswith("image/")
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "rest", ["/a?", "/", "/%2e%2e/a", "/a;b=c?d=e%20f+g&&x=%zz", "/b//c?x=?#", "/a?u=http://b/%41", "/a%2fb"]
)
async def test_a_url_goes_out_byte_for_byte_as_it_was_normalised(origin: Origin, rest: str) -> None:
    url = parse_url(f"http://user:secret@127.0.0.1:{origin.port}{rest}")
    async with (
        guarded_session(OPEN, max_connections=1) as session,
        session.get(url.for_aiohttp, allow_redirects=False),
    ):
        pass
    assert origin.requests[0].path == url.target
    assert "authorization" not in origin.requests[0].headers
