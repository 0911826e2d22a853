"""TLS of a guarded session: the name that is sent and checked, and the end of a connection."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import download
from cluster.http.session import guarded_session
from tests.support.origin import Origin, drip, reply
from tests.support.waiting import wait_until_async
from tests.unit.cluster.http.sessions import OPEN, body_of, session_for

if TYPE_CHECKING:
    from pathlib import Path


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
        async with session_for("127.0.0.1", ssl_context=ssl.create_default_context(cafile=str(path))) as session:
            assert await body_of(session, f"https://shop.example:{origin.port}/") == b"hello"
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="CERTIFICATE_VERIFY_FAILED"):
                await body_of(session, f"https://other.example:{origin.port}/")
    assert named == ["shop.example", "other.example"]


async def test_a_certificate_that_nobody_trusts_is_named(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_certificate(tmp_path))
    with Origin(server) as origin:
        async with guarded_session(OPEN, max_connections=1) as session:
            with pytest.raises(ImageError, match="certificate is valid") as caught:
                await download(session, origin.url, settings=OPEN)
    assert caught.value.code is ImageErrorCode.CONNECTION_FAILED


async def test_a_tls_server_that_never_says_farewell_does_not_hold_the_socket(tmp_path: Path) -> None:
    path = server_certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    with Origin(server) as origin:
        origin.route("/", drip(b"hello", chunk_bytes=1, pause_seconds=20))
        async with session_for("127.0.0.1", ssl_context=ssl.create_default_context(cafile=str(path))) as session:
            async with session.get(f"https://shop.example:{origin.port}/", allow_redirects=False) as response:
                assert response.connection is not None
                assert response.connection.transport is not None
                opened = response.connection.transport.get_extra_info("socket")

            async def closed() -> bool:
                return bool(opened.fileno() == -1)

            await wait_until_async(closed, "the socket is closed", timeout_seconds=1)
