from __future__ import annotations

import pickle
from ipaddress import IPv4Network, IPv6Network

import pytest

from cluster.errors import BlockedAddressError
from cluster.http.guard import Guard
from cluster.settings import Settings

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
    "2001:db7:0:1::5efe",
    "2001:db7:0:1:0:5eff:10.0.0.1",
    "2001:db7::10",
    "2001:db7::8.8.8.8",
    "2001:db7:808:808::",
    # Hosts of today, whose interface identifiers look like IPv4 addresses.
    "2606:4700:20::ac43:4a0e",
    "2600:9000:20eb:d000:1d:3061:a00:93a1",
    "2a03:2880:f12d:83:face:b00c:0:25de",
    "2a04:4e42:600::223",
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
    ("2001:db7:0:1:0:5efe:10.0.0.1", "ISATAP"),
    ("2001:db7:0:1:200:5efe:192.168.0.1", "ISATAP"),
    ("2001:db7:0:1:200:5efe:8.8.8.8", "ISATAP"),
    ("fe80::5efe:8.8.8.8", "link-local"),
    ("64:ff9b:0:1::10.0.0.1", "reserved"),
    ("64:ff9b:1:a00:0:100::", "translation"),
    # The examples of RFC 6052, section 2.4, with another prefix and 10.0.0.33.
    ("2001:db7:a00:21::", "translation"),
    ("2001:db7:10a:0:21::", "translation"),
    ("2001:db7:122:a00:0:2100::", "translation"),
    ("2001:db7:122:30a:0:21::", "translation"),
    ("2001:db7:122:344:a:0:2100::", "translation"),
    ("2001:db7:122:344::10.0.0.33", "translation"),
    ("2001:db7:122:344::169.254.169.254", "translation"),
    ("2001:db7::127.0.0.1", "translation"),
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


PORTS = (80, 443, 8080, 8443)


def guard(*networks: IPv4Network | IPv6Network) -> Guard:
    return Guard(networks, allowed_ports=PORTS)


def refused(check: Guard, address: str, port: int = 443) -> bool:
    try:
        check.check("shop.example", address, port)
    except BlockedAddressError:
        return True
    return False


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_passes(address: str) -> None:
    assert guard().refusal(address, 443) is None
    assert not refused(guard(), address)


@pytest.mark.parametrize(("address", "reason"), BLOCKED)
def test_any_other_address_is_blocked_for_its_reason(address: str, reason: str) -> None:
    assert reason in (guard().refusal(address, 443) or "")
    assert refused(guard(), address)


def test_an_allowed_network_opens_its_range_and_no_other() -> None:
    opened = guard(IPv4Network("10.1.0.0/16"), IPv6Network("fd00::/64"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00::5", "8.8.8.8"):
        assert not refused(opened, address)
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:0:0:1::5", "127.0.0.1"):
        assert refused(opened, address)


def test_a_wide_ipv6_network_does_not_open_ipv4_inside_ipv6() -> None:
    assert refused(guard(IPv6Network("::/0")), "::ffff:127.0.0.1")


@pytest.mark.parametrize("port", [22, 25, 6379, 8000, 65535])
def test_a_public_address_has_few_ports_and_an_allowed_network_has_all(port: int) -> None:
    opened = guard(IPv4Network("10.1.0.0/16"))
    assert opened.refusal("93.184.216.34", port) == "port not allowed"
    assert opened.refusal("10.1.0.1", port) is None
    assert Guard(allowed_ports=(port,)).refusal("93.184.216.34", port) is None


@pytest.mark.parametrize("port", PORTS)
def test_the_usual_ports_are_open(port: int) -> None:
    assert Guard(allowed_ports=Settings().allowed_ports).refusal("93.184.216.34", port) is None


def test_a_refusal_tells_its_reason_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    check = guard()
    texts = set()
    for address, port in (("10.0.0.1", 80), ("169.254.169.254", 80), ("::1", 80)):
        with pytest.raises(BlockedAddressError) as caught:
            check.check("shop.example", address, port)
        texts.add(str(caught.value))
    with pytest.raises(BlockedAddressError) as caught:
        check.check_without_address("shop", 80)
    assert texts == {
        "Darkroom may not connect to shop.example on port 80. Use a URL with a public host and one of the usual ports."
    }
    assert str(caught.value) == texts.pop().replace("shop.example", "shop")
    assert "refused to connect to shop.example: private network, RFC 1918" in caplog.messages
    assert "refused to connect to shop.example: loopback, RFC 4291" in caplog.messages


def test_a_million_refusals_are_few_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    check = guard()
    for number in range(256):
        assert refused(check, f"10.0.0.{number}")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("host", ["mongo", "db.internal", "shop.svc.cluster.local", "Printer.LAN.", "x.home.arpa"])
def test_an_internal_name_without_an_address_is_refused_like_one_that_has_one(host: str) -> None:
    with pytest.raises(BlockedAddressError):
        guard().check_without_address(host, 443)


def test_a_name_without_an_address_is_refused_for_its_port_too() -> None:
    guard().check_without_address("shop.example", 443)
    with pytest.raises(BlockedAddressError):
        guard().check_without_address("shop.example", 6379)


TEN = IPv4Network("10.1.0.0/16")


@pytest.mark.parametrize(("host", "port"), [("db.internal", 443), ("shop.example", 6379)])
def test_a_name_without_an_answer_is_refused_unless_it_may_lead_into_an_allowed_network(host: str, port: int) -> None:
    guard(TEN).check_without_answer(host, port)
    with pytest.raises(BlockedAddressError):
        guard().check_without_answer(host, port)


@pytest.mark.parametrize(
    ("host", "port", "networks"),
    [
        ("shop.example", 443, ()),
        ("shop.example", 22, (TEN,)),  # it may lead into the allowed network
        ("93.184.216.34", 8443, ()),
        ("10.1.0.1", 22, (TEN,)),
    ],
)
def test_a_url_passes_before_its_lookup_if_a_connection_could_follow(
    host: str, port: int, networks: tuple[IPv4Network, ...]
) -> None:
    guard(*networks).check_before_lookup(host, port)


@pytest.mark.parametrize(
    ("host", "port", "networks"),
    [("shop.example", 22, ()), ("93.184.216.34", 22, (TEN,)), ("10.2.0.1", 443, (TEN,)), ("::1", 443, ())],
)
def test_a_url_is_refused_before_its_lookup_if_no_connection_could_follow(
    host: str, port: int, networks: tuple[IPv4Network, ...]
) -> None:
    with pytest.raises(BlockedAddressError):
        guard(*networks).check_before_lookup(host, port)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BlockedAddressError("shop.example", 22)))  # noqa: S301 - as Ray does
    assert str(error).startswith("Darkroom may not connect to shop.example on port 22. ")
