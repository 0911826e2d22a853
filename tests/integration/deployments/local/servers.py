"""Real servers in a folder, for tests."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from pymongo import MongoClient
from redis import Redis

from cluster.settings import Settings
from deployments.local import ports, processes
from deployments.local.shutdown import stop_all
from deployments.local.stack import RunningStack, start_servers
from deployments.local.state import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deployments.local import Home
    from deployments.local.processes import ProcessId
    from deployments.local.server import Event

_APART = 2000  # above the usual ports
NO_RAY = "127.0.0.1:1"
"""A `DARKROOM_RAY_ADDRESS` by which only the stores are started."""


@dataclass
class Servers:
    """The servers of a folder, and the events of their last start or stop."""

    home: Home
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take ports that no service of other tests looks at, or a start there could take that of a killed server."""
        self.home.create()
        apart = {port.name: port.usual + _APART for port in ports.ALL}
        StateFile(self.home.state_file).record_start({}, apart, None)

    def start(self, **settings: Any) -> RunningStack:  # noqa: ANN401 - the operator's settings, of any type
        self.events.clear()
        return start_servers(Settings(**settings), self.home, self.events.append)

    def stop(self) -> None:
        stop_all(self.home, self.events.append)

    def seen(self, what: str) -> set[str]:
        """Return the servers that had such an event since the last start."""
        return {event.server for event in self.events if event.what == what}

    def process(self, name: str) -> ProcessId:
        return StateFile(self.home.state_file).read().servers[name].process

    def everything(self) -> list[ProcessId]:
        """Return all processes of all servers."""
        servers = StateFile(self.home.state_file).read().servers.values()
        return [each for server in servers for each in processes.process_tree(server.process, self.home.path)]

    def mentioned(self) -> list[str]:
        """Return the command lines on this machine that name the folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
        return [line for line in found if str(self.home.path) in line]


def write_everywhere(stack: RunningStack, text: str) -> None:
    """Leave a text in each store."""
    with MongoClient[dict[str, Any]](stack.settings.mongo_url) as mongo:
        mongo["test"].get_collection("texts").insert_one({"text": text})
    with Redis.from_url(stack.settings.redis_url) as redis:
        redis.hset("texts", text, "kept")
    with s3_of(stack) as s3:
        s3.put_object(Bucket=stack.settings.s3_bucket, Key=text, Body=text.encode())


def read_everywhere(stack: RunningStack) -> list[set[str]]:
    """Return the texts in each store."""
    with MongoClient[dict[str, Any]](stack.settings.mongo_url) as mongo:
        in_mongo = {each["text"] for each in mongo["test"].get_collection("texts").find()}
    with Redis.from_url(stack.settings.redis_url, decode_responses=True) as redis:
        in_redis = set(redis.hgetall("texts"))
    with s3_of(stack) as s3:
        listed = s3.list_objects_v2(Bucket=stack.settings.s3_bucket).get("Contents", [])
        in_s3 = {
            s3.get_object(Bucket=stack.settings.s3_bucket, Key=each["Key"])["Body"].read().decode() for each in listed
        }
    return [in_mongo, in_redis, in_s3]


def open_addresses(members: Iterable[ProcessId]) -> set[str]:
    """Return the addresses, other than loopback, that one of the processes listens on, in the kernel's notation."""
    inodes: set[str] = set()
    for process in members:
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                target = str(link.readlink())
            except OSError:  # closed since
                continue
            inodes.update({target[8:-1]} if target.startswith("socket:") else ())
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[9] in inodes}
    loopback = ("0100007F:", "0000000000000000FFFF00000100007F:", "00000000000000000000000001000000:")
    assert listening
    return {address for address in listening if not address.startswith(loopback)}


@contextmanager
def s3_of(stack: RunningStack, **credentials: str) -> Iterator[Any]:
    """Open a client with the stack's credentials, or with others."""
    ours = {
        "aws_access_key_id": stack.environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": stack.environment["AWS_SECRET_ACCESS_KEY"],
    }
    options: dict[str, Any] = {
        **ours,
        **credentials,
        "endpoint_url": stack.settings.s3_endpoint_url,
        "region_name": "us-east-1",
        "config": Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    }
    client = boto3.client("s3", **options)
    try:
        yield client
    finally:
        client.close()
