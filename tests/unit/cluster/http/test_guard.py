from __future__ import annotations

import pickle
from ipaddress import IPv4Network, IPv6Network

import pytest

from cluster.errors import BlockedAddressError
from cluster.http.guard import Guard

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.88.98.255",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

BLOCKED = [
    ("0.0.0.1", "this host"),
    ("0.1.2.3", "this host"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.100.100.200", "carrier-grade NAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "metadata"),
    ("169.254.169.254", "metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "IETF"),
    ("192.0.0.9", "IETF"),
    ("192.0.0.192", "IETF"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:0:127.0.0.1", "IPv4-translated"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::7f00:1", "loopback"),
    ("64:ff9b:1::1", "translation"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("2001::1", "Teredo"),
    ("2001:1::1", "IETF"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "ORCHID"),
    ("2001:20::1", "ORCHIDv2"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::", "6to4"),
    ("3fff::1", "documentation"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "unique local"),
    ("fe80::1", "link-local"),
    ("fe80::1%1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("4000::1", "reserved"),
    ("1000::1", "reserved"),
    ("fe00::1", "reserved"),
    ("localhost", "not an IP address"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_passes(address: str) -> None:
    Guard().check("shop.example", address)


@pytest.mark.parametrize(("address", "reason"), BLOCKED)
def test_any_other_address_is_blocked_with_its_reason(address: str, reason: str) -> None:
    with pytest.raises(BlockedAddressError) as caught:
        Guard().check("shop.example", address)
    assert reason in caught.value.reason
    assert caught.value.host == "shop.example"
    assert address not in str(caught.value)


def test_an_allowed_network_opens_its_range_and_no_other() -> None:
    guard = Guard([IPv4Network("10.1.0.0/16"), IPv6Network("fd00::/64")])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00::5", "8.8.8.8"):
        guard.check("cdn.internal", address)
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:0:0:1::5", "127.0.0.1"):
        with pytest.raises(BlockedAddressError):
            guard.check("cdn.internal", address)


def test_a_wide_ipv6_network_does_not_open_ipv4_inside_ipv6() -> None:
    with pytest.raises(BlockedAddressError):
        Guard([IPv6Network("::/0")]).check("shop.example", "::ffff:127.0.0.1")


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BlockedAddressError("shop.example", "loopback, RFC 1122")))  # noqa: S301 - as Ray does
    assert str(error) == "shop.example is not a public address (loopback, RFC 1122)"
