"""Names, as real name servers answer about them or do not."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import Download, download
from cluster.http.names import NameResolver, NameSilentError, NoAddressError, domain_of
from cluster.http.session import guarded_session
from cluster.settings import Settings
from tests.support.dns_server import DnsServer, Fault, dns_server
from tests.support.origin import Origin, redirect, reply
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.dns_server import Zone

ZONE: Zone = {
    "good.example": ["127.0.0.1", "::1"],
    "www.other.example": ["127.0.0.1"],
    "empty.example": [],
    "silent.example": Fault.SILENT,
    "broken.example": Fault.SERVFAIL,
    ".evil.example": Fault.SILENT,
    "shop.cluster.test": ["127.0.0.9"],
    "shop.namespace.cluster.test": ["127.0.0.8"],
}
SECONDS = 1.0
SETTINGS = Settings(allowed_networks=(IPv4Network("127.0.0.1/32"),), connect_timeout_seconds=2)


@asynccontextmanager
async def resolver(server: DnsServer, *, seconds: float = SECONDS) -> AsyncIterator[NameResolver]:
    names = NameResolver(timeout_seconds=seconds, nameservers=[server.address], search_domains=["cluster.test"])
    yield names
    await names.close()


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with dns_server(ZONE) as running:
        yield running


@pytest.fixture
async def names(server: DnsServer) -> AsyncIterator[NameResolver]:
    async with resolver(server) as opened:
        yield opened


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("good.example", {"127.0.0.1", "::1"}),
        ("good.example.", {"127.0.0.1", "::1"}),
        ("www.other.example", {"127.0.0.1"}),
        ("127.0.0.1", {"127.0.0.1"}),
        ("::1", {"::1"}),
        # By the search domain, with and without a dot.
        ("shop", {"127.0.0.9"}),
        ("shop.namespace", {"127.0.0.8"}),
    ],
)
async def test_a_name_has_all_its_addresses(names: NameResolver, host: str, addresses: set[str]) -> None:
    assert set(await names(host, 80)) == addresses


async def test_localhost_is_known_without_a_name_server(server: DnsServer, names: NameResolver) -> None:
    assert "127.0.0.1" in await names("localhost", 80)
    assert server.asked == []


def hosts_file() -> list[tuple[str, str]]:
    """The addresses and names of /etc/hosts, but for those that are known without it."""
    lines = (line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines())
    return [(address, name) for address, *names in filter(None, lines) for name in names if "localhost" not in name]


async def test_the_hosts_file_counts(server: DnsServer, names: NameResolver) -> None:
    for address, host in hosts_file():
        assert address in await names(host, 80)
    assert server.asked == []


@pytest.mark.parametrize("host", ["missing.example", "missing", "empty.example", "999.1", "a" * 64 + ".example"])
async def test_a_name_that_has_no_address_is_told_from_one_without_an_answer(names: NameResolver, host: str) -> None:
    with pytest.raises(NoAddressError):
        await names(host, 80)


@pytest.mark.parametrize("host", ["silent.example", "broken.example"])
async def test_a_silent_or_broken_name_server_says_nothing_about_the_name(names: NameResolver, host: str) -> None:
    started = time.monotonic()
    with pytest.raises(NameSilentError):
        await names(host, 80)
    assert time.monotonic() - started < SECONDS + 1


async def test_a_name_server_that_is_down_says_nothing_about_the_name() -> None:
    async with dns_server(ZONE) as gone:
        address = gone.address
    names = NameResolver(timeout_seconds=SECONDS, nameservers=[address])
    with pytest.raises(NameSilentError):
        await names("good.example", 80)
    await names.close()


async def test_lookups_of_one_name_at_the_same_time_are_one(server: DnsServer, names: NameResolver) -> None:
    found = await asyncio.gather(*[names("good.example", 80) for _ in range(16)])
    assert all(addresses == found[0] for addresses in found)
    assert len(server.asked) == 2  # A and AAAA


async def test_a_caller_that_gives_up_does_not_end_the_lookup_of_others(names: NameResolver) -> None:
    first, second = (asyncio.create_task(names("good.example", 80)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert "127.0.0.1" in await second


async def test_silent_names_of_one_domain_get_few_places_and_keep_no_other_waiting(server: DnsServer) -> None:
    async with resolver(server, seconds=10) as names:
        threads = threading.active_count()
        lost = [asyncio.create_task(names(f"x{number}.evil.example", 80)) for number in range(60)]

        async def is_asked() -> bool:
            return "x3.evil.example" in server.asked

        await wait_until_async(is_asked, "the first silent names are looked up")
        started = time.monotonic()
        for _ in range(5):
            assert "127.0.0.1" in await names("good.example", 80)
        assert time.monotonic() - started < 1
        assert threading.active_count() == threads

        async def are_turned_away() -> bool:
            return sum(each.done() for each in lost) == 56

        await wait_until_async(are_turned_away, "names without a place are turned away")
        assert all(isinstance(each.exception(), NameSilentError) for each in lost if each.done())
        assert {name for name in server.asked if "evil" in name} == {f"x{number}.evil.example" for number in range(4)}
    await asyncio.gather(*lost, return_exceptions=True)


async def test_a_slow_name_server_answers_all_names_of_a_domain(server: DnsServer) -> None:
    server.zone = {".shop.example": ["127.0.0.1"]}
    server.delay_seconds = 0.3
    async with resolver(server, seconds=5) as names:
        found = await asyncio.gather(*[names(f"cdn{number}.shop.example", 80) for number in range(32)])
    assert found == [["127.0.0.1"]] * 32


async def test_the_places_of_a_domain_are_free_again_when_its_lookups_have_ended(server: DnsServer) -> None:
    async with resolver(server, seconds=0.3) as names:
        await asyncio.gather(*[names(f"x{number}.evil.example", 80) for number in range(4)], return_exceptions=True)
        server.zone = {".evil.example": ["127.0.0.1"]}
        found = await asyncio.gather(*[names(f"y{number}.evil.example", 80) for number in range(20)])
    assert found == [["127.0.0.1"]] * 20


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("shop.example", "shop.example"),
        ("a.b.shop.example", "shop.example"),
        ("WWW.Shop.Example.", "shop.example"),
        ("images.shop.co.uk", "shop.co.uk"),
        ("other.co.uk", "other.co.uk"),
        ("a.b.github.io", "b.github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "0.1"),
    ],
)
def test_a_domain_is_what_its_owner_has_registered(host: str, domain: str) -> None:
    assert domain_of(host) == domain


async def fetch(url: str, server: DnsServer) -> Download:
    async with resolver(server) as names, guarded_session(SETTINGS, max_connections=4, resolve=names) as session:
        return await download(session, url, settings=SETTINGS)


async def test_a_download_finds_its_host(server: DnsServer, origin: Origin) -> None:
    server.zone = {"shop.example": ["127.0.0.1"]}
    origin.route("/a.jpg", reply(b"hello"))
    assert (await fetch(f"http://shop.example:{origin.port}/a.jpg", server)).data == b"hello"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("missing.example", ImageErrorCode.DNS_FAILED),
        ("broken.example", ImageErrorCode.DNS_UNAVAILABLE),
        ("silent.example", ImageErrorCode.DNS_UNAVAILABLE),
    ],
)
async def test_only_a_name_without_an_address_is_final(server: DnsServer, host: str, code: ImageErrorCode) -> None:
    with pytest.raises(ImageError) as caught:
        await fetch(f"http://{host}/a.jpg", server)
    assert (caught.value.code, caught.value.http_status) == (code, None)
    assert code.transient is (code is ImageErrorCode.DNS_UNAVAILABLE)


async def test_a_silent_target_of_a_redirect_is_told_from_a_silent_source(server: DnsServer, origin: Origin) -> None:
    with pytest.raises(ImageError) as caught:
        await fetch(origin.route("/a.jpg", redirect("http://silent.example/")), server)
    assert (caught.value.code, caught.value.http_status) == (ImageErrorCode.DNS_UNAVAILABLE, 302)


async def test_the_session_closes_its_resolver(server: DnsServer) -> None:
    names = NameResolver(timeout_seconds=60, nameservers=[server.address])
    async with guarded_session(SETTINGS, max_connections=4, resolve=names):
        lookup = asyncio.create_task(names("silent.example", 80))

        async def is_asked() -> bool:
            return "silent.example" in server.asked

        await wait_until_async(is_asked, "the lookup is under way")
    with pytest.raises(asyncio.CancelledError):
        await lookup
