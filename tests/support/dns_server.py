"""A name server on loopback, for the names of a test."""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    Zone = Mapping[str, "Sequence[str] | Fault"]

_TTL_SECONDS = 0  # so that each lookup reaches this server


class Fault(Enum):
    """An answer without an address. A key of a zone that begins with a dot stands for all names under it."""

    SILENT = "silent"
    SERVFAIL = "servfail"
    NXDOMAIN = "nxdomain"


class DnsServer(asyncio.DatagramProtocol):
    """It answers from a zone that a test may change, and keeps the names that it was asked for."""

    def __init__(self, zone: Zone) -> None:
        self.zone = dict(zone)
        self.asked: list[str] = []
        self.delay_seconds = 0.0  # of each answer
        self.transport: asyncio.DatagramTransport

    @property
    def address(self) -> str:
        """The address and the port."""
        host, port = self.transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(name)
        told = self._told(name)
        if told is Fault.SILENT:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if isinstance(told, Fault):
            answer.set_rcode(dns.rcode.from_text(told.name))
        else:
            records = [each for each in told if (ip_address(each).version == 4) == (question.rdtype == 1)]
            if records:
                kind = "A" if question.rdtype == 1 else "AAAA"
                answer.answer.append(dns.rrset.from_text(question.name, _TTL_SECONDS, "IN", kind, *records))
        send = functools.partial(self.transport.sendto, answer.to_wire(), addr)
        asyncio.get_running_loop().call_later(self.delay_seconds, send)

    def _told(self, name: str) -> Sequence[str] | Fault:
        for key, told in self.zone.items():
            if name == key or (key.startswith(".") and name.endswith(key)):
                return told
        return Fault.NXDOMAIN


@asynccontextmanager
async def dns_server(zone: Zone) -> AsyncIterator[DnsServer]:
    """Run a name server in the event loop of the test."""
    server = DnsServer(zone)
    server.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        server.transport.close()
