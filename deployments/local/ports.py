"""The ports that the servers listen on. `claims` chooses their numbers."""

from __future__ import annotations

import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
GRPC_OFFSET = 10_000
"""SeaweedFS's parts speak gRPC on a second port, this much above the first."""


@dataclass(frozen=True)
class Port:
    """A port that a server listens on."""

    name: str
    usual: int
    grpc_part: str | None = None
    """The part of SeaweedFS that it is, if any. Each part speaks gRPC on a second port and on a Unix socket."""

    def span(self, number: int) -> set[int]:
        """Return all numbers that the server needs when this port has a number."""
        return {number} if self.grpc_part is None else {number, number + GRPC_OFFSET}


MONGOD = Port("mongod", 27017)
REDIS = Port("redis", 6379)
S3 = Port("s3", 8333, grpc_part="s3")
SEAWEEDFS_FILER = Port("seaweedfs-filer", 8888, grpc_part="filer")
SEAWEEDFS_VOLUME = Port("seaweedfs-volume", 8080, grpc_part="volume")
SEAWEEDFS_MASTER = Port("seaweedfs-master", 9333, grpc_part="master")
RAY_GCS = Port("ray-gcs", 6380)
RAY_DASHBOARD = Port("ray-dashboard", 8265)
RAY_CLIENT = Port("ray-client", 10001)
RAY_AGENT = Port("ray-agent", 8266)  # Ray's own default is in the range of outgoing connections
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
