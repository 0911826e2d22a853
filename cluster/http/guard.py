"""The guard: fetches and webhooks may reach public addresses only. The table here lists all addresses that are not.

`ipaddress.is_global` is not enough. Python 3.11 calls 64:ff9b::10.0.0.1, 2002::/16, ::127.0.0.1, fec0::1, 192.88.99.1
and multicast global.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates) and the IANA IPv6
address space registry. Each row names its own RFC.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from cluster.errors import BlockedAddressError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.settings import IPNetwork

# The first row that holds an address gives the reason. So a range stands before any wider range that holds it.
BLOCKED_IPV4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host, RFC 791"),
        ("10.0.0.0/8", "private network, RFC 1918"),
        ("100.64.0.0/10", "carrier-grade NAT, RFC 6598"),
        ("127.0.0.0/8", "loopback, RFC 1122"),
        ("168.63.129.16/32", "metadata of Azure's hosts, not in a registry"),
        ("169.254.0.0/16", "link-local and cloud metadata, RFC 3927"),
        ("172.16.0.0/12", "private network, RFC 1918"),
        ("192.0.0.0/24", "IETF protocol assignments, RFC 6890"),
        ("192.0.2.0/24", "documentation, RFC 5737"),
        ("192.88.99.0/24", "6to4 relay, RFC 7526"),
        ("192.168.0.0/16", "private network, RFC 1918"),
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


class Guard:
    """The check that an address is public.

    An IPv6 address that holds an IPv4 one is judged by the IPv4 address.

    Args:
        allowed_networks: Ranges that are open although the table lists them.
    """

    def __init__(self, allowed_networks: Iterable[IPNetwork] = ()) -> None:
        self._allowed = tuple(allowed_networks)

    def check(self, host: str, address: str) -> None:
        """Check that a connection may go to the address.

        Args:
            host: The host as the URL names it, for the error.
            address: An IPv4 or IPv6 address that the host resolved to, in text form.

        Raises:
            BlockedAddressError: The address is not public and not allowed. The error does not tell the address.
        """
        try:
            judged = _judged(ip_address(address))
        except ValueError:
            raise BlockedAddressError(host, "not an IP address") from None
        if any(judged in network for network in self._allowed):
            return
        reason = _blocked_reason(judged)
        if reason is not None:
            raise BlockedAddressError(host, reason)


def _judged(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and any(address in network for network in _HOLDS_IPV4):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _blocked_reason(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in BLOCKED_IPV4 if address in network), None)
    return next((reason for network, reason in BLOCKED_IPV6 if address in network), None)
