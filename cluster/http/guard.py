"""The guard: fetches and webhooks may reach public addresses only. The table here lists all addresses that are not.

Networks that the operator allows are open on every port. All other addresses are open on the allowed ports alone.

`ipaddress.is_global` is not enough. Python 3.11 calls 64:ff9b::10.0.0.1, 2002::/16, ::127.0.0.1, fec0::1, 192.88.99.1
and multicast global.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates) and the IANA IPv6
address space registry. Each row names its own RFC.
"""

from __future__ import annotations

import logging
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from cluster.errors import BlockedAddressError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cluster.settings import IPNetwork

_LOG_INTERVAL_SECONDS = 60.0  # between two lines about refusals of one reason, since a catalogue can have a million
logger = logging.getLogger("darkroom.guard")

# The ranges that a network uses for itself. An address of them may answer from within the cluster.
INTERNAL_IPV4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("10.0.0.0/8", "private network, RFC 1918"),
        ("100.64.0.0/10", "carrier-grade NAT, RFC 6598"),
        ("127.0.0.0/8", "loopback, RFC 1122"),
        ("168.63.129.16/32", "metadata of Azure's hosts, not in a registry"),
        ("169.254.0.0/16", "link-local and cloud metadata, RFC 3927"),
        ("172.16.0.0/12", "private network, RFC 1918"),
        ("192.168.0.0/16", "private network, RFC 1918"),
    )
)

# The first row that holds an address gives the reason. So a range stands before any wider range that holds it.
BLOCKED_IPV4 = INTERNAL_IPV4 + tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host, RFC 791"),
        ("192.0.0.0/24", "IETF protocol assignments, RFC 6890"),
        ("192.0.2.0/24", "documentation, RFC 5737"),
        ("192.88.99.0/24", "6to4 relay, RFC 7526"),
        ("198.18.0.0/15", "benchmarking, RFC 2544"),
        ("198.51.100.0/24", "documentation, RFC 5737"),
        ("203.0.113.0/24", "documentation, RFC 5737"),
        ("224.0.0.0/4", "multicast, RFC 1112"),
        ("255.255.255.255/32", "broadcast, RFC 919"),
        ("240.0.0.0/4", "reserved, RFC 1112"),
    )
)

BLOCKED_IPV6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified, RFC 4291"),
        ("::1/128", "loopback, RFC 4291"),
        ("::/96", "IPv4-compatible, RFC 4291"),
        ("::ffff:0:0:0/96", "IPv4-translated, RFC 2765"),
        ("64:ff9b:1::/48", "local IPv4/IPv6 translation, RFC 8215"),
        ("100::/64", "discard only, RFC 6666"),
        ("100:0:0:1::/64", "dummy prefix, RFC 9780"),
        ("2001::/32", "Teredo, RFC 4380"),
        ("2001:2::/48", "benchmarking, RFC 5180"),
        ("2001:10::/28", "ORCHID, RFC 4843"),
        ("2001:20::/28", "ORCHIDv2, RFC 7343"),
        ("2001:30::/28", "drone remote identification, RFC 9374"),
        ("2001::/23", "IETF protocol assignments, RFC 2928"),
        ("2001:db8::/32", "documentation, RFC 3849"),
        ("2002::/16", "6to4, RFC 3056"),
        ("3fff::/20", "documentation, RFC 9637"),
        ("5f00::/16", "segment routing, RFC 9602"),
        ("fc00::/7", "unique local, RFC 4193"),
        ("fe80::/10", "link-local, RFC 4291"),
        ("fec0::/10", "site-local, RFC 3879"),
        ("ff00::/8", "multicast, RFC 4291"),
        # The rest of the space outside 2000::/3. IANA gives out global unicast addresses in 2000::/3 alone.
        ("::/3", "reserved, RFC 4291"),
        ("4000::/2", "reserved, RFC 4291"),
        ("8000::/1", "reserved, RFC 4291"),
    )
)

# The last 32 bits of these addresses are an IPv4 address. A connection ends at that one.
_HOLDS_IPV4 = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291
    IPv6Network("64:ff9b::/96"),  # IPv4/IPv6 translation by a NAT64, RFC 6052
)


# Any prefix may stand before the interface identifier of ISATAP, whose last 32 bits are an IPv4 address.
_ISATAP_IDENTIFIER = 0x5EFE
_UNIVERSAL_BIT = 0x0200_0000

# The lengths of the prefixes of a translator, but for 96. Behind bit 64 comes an octet of zeros. Source: RFC 6052, 2.2.
_TRANSLATOR_PREFIX_BITS = (32, 40, 48, 56, 64)


class Guard:
    """The check that an address is public, and its port allowed.

    An IPv6 address that holds an IPv4 one is judged by the IPv4 address.

    Args:
        allowed_networks: Ranges that are open on every port, although the table may list them.
        allowed_ports: The ports that are open on all other addresses.
    """

    def __init__(self, allowed_networks: Collection[IPNetwork] = (), *, allowed_ports: Collection[int]) -> None:
        self._networks = tuple(allowed_networks)
        self._ports = frozenset(allowed_ports)
        self._silent_until: dict[str, float] = {}  # by the reason

    def check(self, host: str, address: str, port: int) -> None:
        """Check that a connection may go to the address and port. The reason of a refusal goes to the log alone.

        Args:
            host: The host as the URL names it, for the error.
            address: An IPv4 or IPv6 address that the host resolved to, in text form.
            port: The port to connect to.

        Raises:
            BlockedAddressError: The address is not public, or its port not allowed.
        """
        reason = self.refusal(address, port)
        if reason is not None:
            self._log(host, address, port, reason)
            raise BlockedAddressError(host, port)

    def check_without_address(self, host: str, port: int) -> None:
        """Refuse a host whose name has no address as if it had one, if it could only have a blocked one.

        Otherwise the answers would tell which internal names exist.

        Raises:
            BlockedAddressError: No public host can have this name, or the port is not allowed.
        """
        if port not in self._ports or is_internal_name(host):
            raise BlockedAddressError(host, port)

    def check_without_answer(self, host: str, port: int) -> None:
        """Refuse a host whose name is not answered, if no answer could lead to an allowed address.

        Raises:
            BlockedAddressError: As of `check_without_address`, unless the name may lead into an allowed network.
        """
        if not self._networks:
            self.check_without_address(host, port)

    def check_before_lookup(self, host: str, port: int) -> None:
        """Check the host of a URL as far as that is possible without resolving its name.

        Raises:
            BlockedAddressError: No connection to the host and port will be allowed.
        """
        try:
            ip_address(host)
        except ValueError:
            # The name may lead into an allowed network, where all ports are open.
            if not self._networks and port not in self._ports:
                raise BlockedAddressError(host, port) from None
        else:
            self.check(host, host, port)

    def refusal(self, address: str, port: int) -> str | None:
        """Return the reason why no connection may go to the address and port. None means that it may."""
        try:
            judged = _judged(ip_address(address))
        except ValueError:
            return "not an IP address"
        if any(judged in network for network in self._networks):
            return None
        reason = _blocked_reason(judged)
        if reason is None and port not in self._ports:
            return "port not allowed"
        return reason

    def _log(self, host: str, address: str, port: int, reason: str) -> None:
        now = time.monotonic()
        if now >= self._silent_until.get(reason, 0):
            self._silent_until[reason] = now + _LOG_INTERVAL_SECONDS
            logger.warning("refused to connect to %s: %s", host, reason, extra={"address": address, "port": port})


# Names that no public host can have. Sources: RFC 6761, 6762 and 8375, and ICANN's resolutions on .internal (2024) and
# on .corp and .home (2018). ".lan" is what many routers use.
_INTERNAL_SUFFIXES = (".corp", ".home", ".home.arpa", ".internal", ".lan", ".local", ".localhost")


def is_internal_name(host: str) -> bool:
    """Return whether no public host can have this name."""
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith(_INTERNAL_SUFFIXES)


def _judged(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and any(address in network for network in _HOLDS_IPV4):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _blocked_reason(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return _reason_in(BLOCKED_IPV4, address)
    reason = next((reason for network, reason in BLOCKED_IPV6 if address in network), None)
    if reason is not None:
        return reason
    if (int(address) >> 32) & 0xFFFF_FFFF & ~_UNIVERSAL_BIT == _ISATAP_IDENTIFIER:
        return "ISATAP, RFC 5214"
    if any(_reason_in(INTERNAL_IPV4, held) for held in _translated(int(address))):
        return "translation to an internal IPv4 address, RFC 6052"
    return None


def _reason_in(table: tuple[tuple[IPv4Network, str], ...], address: IPv4Address) -> str | None:
    return next((reason for network, reason in table if address in network), None)


def _translated(address: int) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses to which a translator with a prefix of its own could turn an IPv6 address.

    RFC 6052 wants zeros in all bits behind the IPv4 address. Before one at the end, zeros are only usual. But without
    them one in 200 public addresses would be refused, since many have random bits there.
    """
    if (address >> 56) & 0xFF:
        return
    if (address >> 32) & 0xFFFF_FFFF == 0:
        yield IPv4Address(address & 0xFFFF_FFFF)
    without_octet = (address >> 64 << 56) | (address & ((1 << 56) - 1))
    for prefix_bits in _TRANSLATOR_PREFIX_BITS:
        suffix_bits = 120 - prefix_bits - 32
        if without_octet & ((1 << suffix_bits) - 1) == 0:
            yield IPv4Address((without_octet >> suffix_bits) & 0xFFFF_FFFF)
