"""Claims of port numbers, by which no two starts on one machine choose the same number.

A claim is an open descriptor. The start hands it on to its server, so a claim ends with the last of the two. The kernel
keeps the claims, for all users.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from deployments.local import grpc_sockets, ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deployments.local.ports import Port

_PORTS_TRIED = 1000
_NAME = "\0darkroom-port-{number}"
"""An abstract Unix socket. It belongs to the same network namespace as the port, and every user sees it."""


class Claims:
    """The claims of one start."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, list[int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up the claims that no server has inherited."""
        for each in self.descriptors_of(self._held):
            os.close(each)
        self._held.clear()

    def choose(self, wanted: Sequence[Port], kept: Mapping[str, int]) -> dict[str, int]:
        """Claim a free number for each port: that of last time, else the usual one, else the next one above it.

        Args:
            wanted: The ports to choose.
            kept: All ports of last time, by name.

        Raises:
            OSError: None of the next 1,000 is free.
        """
        names = {port.name for port in wanted}
        taken = {number for name, number in kept.items() if name not in names}
        chosen: dict[str, int] = {}
        for port in wanted:
            free = (each for each in _candidates(port, kept) if not taken & port.span(each) and self.hold(port, each))
            number = next(free, 0)
            if not number:
                raise OSError(f"None of the {_PORTS_TRIED} ports above {port.usual} is free for {port.name}.")
            chosen[port.name] = number
            taken |= port.span(number)
        return chosen

    def hold(self, port: Port, number: int) -> bool:
        """Claim a number for a port, and return whether this start has it. It must be free, or held already."""
        if port.name in self._held:
            return self._held[port.name][0] == number
        with ExitStack() as stack:
            descriptors: list[int] = []
            for claim in _claimed(port, number):
                if claim is None:
                    return False
                descriptors.append(claim)
                stack.callback(os.close, claim)
            # Only after the claims: another start may have claimed a port that it does not use yet.
            if not all(map(ports.is_free, port.span(number))):
                return False
            stack.pop_all()
            self._held[port.name] = (number, descriptors)
        return True

    def descriptors_of(self, names: Iterable[str]) -> list[int]:
        """Return the descriptors of the claims of these ports, for their server to inherit."""
        return [each for name in names if name in self._held for each in self._held[name][1]]


def _claimed(port: Port, number: int) -> Iterator[int | None]:
    """Yield the descriptor of each claim that the port needs, or None for one that another start has."""
    for each in sorted(port.span(number)):
        yield _claimed_number(each)
    if port.grpc_part is not None:
        yield grpc_sockets.claimed(port.grpc_part, number + ports.GRPC_OFFSET)


def _claimed_number(number: int) -> int | None:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(_NAME.format(number=number))
    except OSError:
        claim.close()
        return None
    return claim.detach()


def _candidates(port: Port, kept: Mapping[str, int]) -> Iterator[int]:
    if port.name in kept:
        yield kept[port.name]
    yield port.usual
    of_others = {number for other in ports.ALL if other != port for number in other.span(other.usual)}
    for number in range(port.usual + 1, port.usual + _PORTS_TRIED):
        if not of_others & port.span(number):
            yield number
