"""The certificate by which the parts of one server know each other. Nobody else has its key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deployments.local.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path

_FROM = datetime(2000, 1, 1, tzinfo=UTC)  # the clock of a new machine may be wrong
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # by RFC 5280: it never expires


def ensure_certificate(certificate_file: Path, key_file: Path) -> None:
    """Make a certificate and its key, unless both are there. The certificate is its own authority.

    Raises:
        OSError: The files cannot be written.
    """
    if certificate_file.exists() and key_file.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    write_private(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    write_private(certificate_file, certificate.public_bytes(Encoding.PEM).decode())


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "darkroom")])
    both_sides = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(both_sides, critical=False)
        .sign(key, hashes.SHA256())
    )
