"""The choice of ports: the usual one when it is free, else a free one near it. The next start takes the same ones."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
GRPC_OFFSET = 10_000
"""SeaweedFS's parts speak gRPC on a second port, this much above the first."""

_PORTS_TRIED = 1000


@dataclass(frozen=True)
class Port:
    """A port that a server listens on."""

    name: str
    usual: int
    with_grpc: bool = False


MONGOD = Port("mongod", 27017)
REDIS = Port("redis", 6379)
S3 = Port("s3", 8333, with_grpc=True)
SEAWEEDFS_FILER = Port("seaweedfs-filer", 8888, with_grpc=True)
SEAWEEDFS_VOLUME = Port("seaweedfs-volume", 8080, with_grpc=True)
SEAWEEDFS_MASTER = Port("seaweedfs-master", 9333, with_grpc=True)
RAY_GCS = Port("ray-gcs", 6380)
RAY_DASHBOARD = Port("ray-dashboard", 8265)
RAY_CLIENT = Port("ray-client", 10001)
RAY_AGENT = Port("ray-agent", 52365)
HTTP = Port("http", 8000)

ALL = (
    MONGOD,
    REDIS,
    S3,
    SEAWEEDFS_FILER,
    SEAWEEDFS_VOLUME,
    SEAWEEDFS_MASTER,
    RAY_GCS,
    RAY_DASHBOARD,
    RAY_CLIENT,
    RAY_AGENT,
    HTTP,
)


def is_free(number: int) -> bool:
    """Return whether a server could listen on a port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was closed a moment ago is free
        try:
            probe.bind((LOOPBACK, number))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(wanted: Sequence[Port], kept: Mapping[str, int]) -> dict[str, int]:
    """Choose a free port for each: that of last time, else the usual one, else the next free one above it.

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
        number = next(
            (each for each in _candidates(port, kept) if not taken & _span(port, each) and _free(port, each)), 0
        )
        if not number:
            raise OSError(f"None of the {_PORTS_TRIED} ports above {port.usual} is free for {port.name}.")
        chosen[port.name] = number
        taken |= _span(port, number)
    return chosen


def _candidates(port: Port, kept: Mapping[str, int]) -> Iterator[int]:
    if port.name in kept:
        yield kept[port.name]
    yield port.usual
    of_others = {number for other in ALL if other != port for number in _span(other, other.usual)}
    for number in range(port.usual + 1, port.usual + _PORTS_TRIED):
        if not of_others & _span(port, number):
            yield number


def _span(port: Port, number: int) -> set[int]:
    return {number, number + GRPC_OFFSET} if port.with_grpc else {number}


def _free(port: Port, number: int) -> bool:
    return all(is_free(each) for each in _span(port, number))
