from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.errors import BlockedAddressError, ImageError, ImageErrorCode
from cluster.http.download import download
from cluster.http.guard import Guard
from cluster.http.transport import GuardedTransport, NameResolutionError, guarded_client
from cluster.settings import Settings
from tests.support.origin import Origin, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

LOOPBACK = IPv4Network("127.0.0.1/32")
OPEN = Settings(allowed_networks=(LOOPBACK,), connect_timeout_seconds=2, image_timeout_seconds=5)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


def resolver(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


@asynccontextmanager
async def client_for(
    *addresses: str,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    transport = GuardedTransport(
        Guard([LOOPBACK]),
        max_connections=4,
        resolve=resolver(*addresses),
        ssl_context=ssl_context,
    )
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=2) as client:
        yield client


async def test_the_name_stays_in_the_host_header_while_the_address_is_pinned(origin: Origin) -> None:
    origin.route("/a", reply(b"hello"))
    async with client_for("127.0.0.1") as client:
        response = await client.get(f"http://shop.example:{origin.port}/a")
    assert response.content == b"hello"
    assert origin.requests[0].headers["host"] == f"shop.example:{origin.port}"


@pytest.mark.parametrize("answers", [("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_one_blocked_answer_refuses_the_host(origin: Origin, answers: tuple[str, ...]) -> None:
    async with client_for(*answers) as client:
        with pytest.raises(BlockedAddressError, match=r"^shop\.example is not a public address"):
            await client.get(f"http://shop.example:{origin.port}/")
    assert origin.requests == []


async def test_a_name_that_changes_its_mind_is_asked_once_and_checked_again(origin: Origin) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    origin.route("/", reply(b"hello", headers={"Connection": "close"}))
    transport = GuardedTransport(Guard([LOOPBACK]), max_connections=4, resolve=resolve)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        assert (await client.get(f"http://shop.example:{origin.port}/")).content == b"hello"
        with pytest.raises(BlockedAddressError, match="link-local"):
            await client.get(f"http://shop.example:{origin.port}/")
    assert asked == ["shop.example", "shop.example"]


async def test_the_next_address_is_tried_when_the_first_refuses(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    transport = GuardedTransport(
        Guard([IPv4Network("127.0.0.0/8")]),
        max_connections=4,
        resolve=resolver("127.0.0.2", "127.0.0.1"),
    )
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        assert (await client.get(f"http://shop.example:{origin.port}/")).content == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.1", "[::1]", "0"])
async def test_every_spelling_of_loopback_is_refused(origin: Origin, host: str) -> None:
    async with guarded_client(Settings(), max_connections=1) as client:
        with pytest.raises(BlockedAddressError):
            await client.get(f"http://{host}:{origin.port}/")
    assert origin.requests == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
async def test_a_name_without_an_address_is_a_resolution_error(host: str) -> None:
    async with guarded_client(OPEN, max_connections=1) as client:
        with pytest.raises(NameResolutionError):
            await client.get(f"http://{host}/")


async def test_an_empty_answer_is_a_resolution_error() -> None:
    async with client_for() as client:
        with pytest.raises(NameResolutionError):
            await client.get("http://shop.example/")


async def test_a_closed_port_is_a_connect_error() -> None:
    with Origin() as closed:
        port = closed.port
    async with guarded_client(OPEN, max_connections=1) as client:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(f"http://127.0.0.1:{port}/")
    assert not isinstance(caught.value, NameResolutionError)


async def test_connections_are_kept_alive_and_reused(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    async with guarded_client(OPEN, max_connections=2) as client:
        for _ in range(5):
            assert (await client.get(origin.url)).content == b"hello"
    assert len({request.client_port for request in origin.requests}) == 1


async def test_the_client_introduces_itself_and_remembers_nothing(
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    origin.route("/", reply(b"hello", headers={"Set-Cookie": "session=1; Path=/"}))
    async with guarded_client(OPEN, max_connections=2) as client:
        await client.get(origin.url)
        await client.get(origin.url)
    headers = origin.requests[1].headers
    assert headers["user-agent"].startswith("Darkroom/")
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def server_certificate(folder: Path) -> Path:
    """A self-signed certificate of shop.example, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "shop.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


async def test_sni_and_the_certificate_are_of_the_name(tmp_path: Path) -> None:
    path = server_certificate(tmp_path)
    named: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    server.sni_callback = lambda _socket, name, _context: named.append(name)
    with Origin(server) as origin:
        origin.route("/", reply(b"hello"))
        async with client_for("127.0.0.1", ssl_context=ssl.create_default_context(cafile=str(path))) as client:
            response = await client.get(f"https://shop.example:{origin.port}/")
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://other.example:{origin.port}/")
    assert response.content == b"hello"
    assert named == ["shop.example", "other.example"]


async def test_a_certificate_that_nobody_trusts_is_named(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_certificate(tmp_path))
    with Origin(server) as origin:
        async with guarded_client(OPEN, max_connections=1) as client:
            with pytest.raises(ImageError, match="certificate may be invalid") as caught:
                await download(client, origin.url, settings=OPEN)
    assert caught.value.code is ImageErrorCode.CONNECTION_FAILED
