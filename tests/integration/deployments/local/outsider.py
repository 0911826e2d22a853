"""A program that becomes another user of this machine, and tries all doors of the stores.

Its argument is a JSON object of ports. It prints a JSON object: each door with the answer that it got.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import urllib.error
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534
GRPC_OFFSET = 10_000
_SECONDS = 5
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HTTP = {
    "seaweedfs-master": ("GET", "/col/delete?collection=darkroom"),
    "seaweedfs-filer": ("DELETE", "/buckets/darkroom?recursive=true"),
    "seaweedfs-volume": ("DELETE", "/1,01637037d6"),
    "s3": ("GET", "/darkroom"),
}


def mongo(port: int, command: str, login: dict[str, Any]) -> str:
    client: MongoClient[dict[str, Any]] = MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=_SECONDS * 1000, **login
    )
    with client:
        arguments: dict[str, Any] = {"pwd": "mine", "roles": ["root"]} if command == "createUser" else {}
        try:
            return str(client.admin.command(command, "mine", **arguments))
        except PyMongoError as error:
            return str(getattr(error, "code", error))


def redis(port: int, command: str) -> str:
    """Speak Redis' own protocol: its client would import modules late, which nobody may be unable to read."""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1000).decode().split()[0]


def http(port: int, method: str, path: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - http alone
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)


def tls(port: int) -> str:
    """Speak TLS without a certificate, as an HTTP/2 client does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(_HTTP2_PREFACE)
            return repr(connection.recv(100))
    except OSError as error:
        return type(error).__name__ if not isinstance(error, ssl.SSLError) else str(error.reason)


def plain(port: int) -> str:
    """Speak HTTP/2 without TLS."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
            connection.sendall(_HTTP2_PREFACE)
            return repr(connection.recv(100))
    except ConnectionResetError:
        return repr(b"")


def tried(ports: dict[str, int]) -> dict[str, str]:
    """Return each door with its answer."""
    wrong = {"username": "darkroom", "password": "wrong"}
    doors: dict[str, Callable[[], str]] = {
        "mongod: list, without a password": partial(mongo, ports["mongod"], "listDatabases", {}),
        "mongod: the first user": partial(mongo, ports["mongod"], "createUser", {}),
        "mongod: list, with a wrong password": partial(mongo, ports["mongod"], "listDatabases", wrong),
        "redis: keys, without a password": partial(redis, ports["redis"], "KEYS *"),
        "redis: with a wrong password": partial(redis, ports["redis"], "AUTH darkroom wrong"),
    }
    for name, (method, path) in _HTTP.items():
        doors[f"{name}: HTTP"] = partial(http, ports[name], method, path)
        doors[f"{name}: gRPC"] = partial(plain, ports[name] + GRPC_OFFSET)
        doors[f"{name}: gRPC with TLS"] = partial(tls, ports[name] + GRPC_OFFSET)
    return {door: knock() for door, knock in doors.items()}


def main() -> None:
    """Try all doors as nobody. The imports are done before, because nobody may be unable to read them."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    print(json.dumps(tried(json.loads(sys.argv[1]))))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
