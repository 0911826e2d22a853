"""Another user of the same machine reaches no store, and finds no password."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from cluster.redis.connection import connect_redis, load_script
from deployments.local import binaries, ports, processes
from deployments.local.credentials import Credentials
from deployments.local.mongod import REPLICA_SET
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.state import State, StateFile
from tests.integration.deployments.local import outsider
from tests.integration.deployments.local.servers import NO_RAY, read_everywhere, write_everywhere
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.deployments.local.servers import Servers

pytestmark = pytest.mark.timeout(90)
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

NOBODY = outsider.NOBODY
SHELL_SECONDS = 5
DELETE = "fs.rm -rf /buckets/darkroom/kept\nexit\n"
CERTIFICATE_REQUIRED = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
PARTS = {"seaweedfs-master": "404", "seaweedfs-filer": "404", "seaweedfs-volume": "401", "s3": "403"}
CLOSED = (
    "CONFIG GET *",
    "EVAL 'return 1' 0",
    "FLUSHALL",
    "FUNCTION LIST",
    "KEYS *",
    "MODULE LIST",
    "SAVE",
    "SCRIPT FLUSH",
)


@as_root
def test_another_user_gets_into_no_store(servers: Servers) -> None:
    stack = servers.start(ray_address=NO_RAY)
    write_everywhere(stack, "kept")
    numbers = State.read(servers.home.state_file).ports
    program = [sys.executable, outsider.__file__, json.dumps(numbers)]
    tried = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert tried.returncode == 0, tried.stderr
    assert json.loads(tried.stdout) == {
        "mongod: list, without a password": "13",
        "mongod: the first user": "13",
        "mongod: list, with a wrong password": "18",
        "redis: keys, without a password": "-NOAUTH",
        "redis: with a wrong password": "-WRONGPASS",
        **{f"{part}: HTTP": status for part, status in PARTS.items()},
        **{f"{part}: gRPC": repr(b"") for part in PARTS},
        **{f"{part}: gRPC with TLS": CERTIFICATE_REQUIRED for part in PARTS},
    }
    assert read_everywhere(stack) == [{"kept"}] * 3


@as_root
def test_the_shell_of_seaweedfs_needs_the_certificate(servers: Servers) -> None:
    stack = servers.start(ray_address=NO_RAY)
    write_everywhere(stack, "kept")
    numbers = State.read(servers.home.state_file).ports
    master = numbers[ports.SEAWEEDFS_MASTER.name]
    command = [str(binaries.weed()), "shell", f"-master={ports.LOOPBACK}:{master}.{master + ports.GRPC_OFFSET}"]
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
    options: dict[str, Any] = {"input": DELETE, "text": True, "capture_output": True, "timeout": SHELL_SECONDS}
    with pytest.raises((subprocess.TimeoutExpired, PermissionError)):  # it tries for ever, or cannot even be read
        subprocess.run(command, check=False, **options, **nobody)
    assert read_everywhere(stack) == [{"kept"}] * 3
    keys = SeaweedFS(servers.home, numbers, credentials=Credentials.of(servers.home), bucket="darkroom").environment()
    subprocess.run(command, check=True, env={**os.environ, **keys}, **options)
    assert read_everywhere(stack) == [{"kept"}, {"kept"}, set()]


def test_a_password_is_in_private_files_alone(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    keys = Credentials.of(servers.home)
    names = ("mongod", "mongod's replica set", "redis")
    secret = {keys.s3_secret_key, keys.secret_key, keys.seaweedfs_key, *map(keys.password_of, names)}
    lines = [processes.command_line(each.pid) for each in servers.everything()]
    assert len(lines) == len({"mongod", "redis", "seaweedfs"})
    assert not [each for line in lines for each in secret if each in line]
    files = [path for path in servers.home.path.iterdir() if path.is_file()] + list(servers.home.logs.iterdir())
    telling = {path.name for path in files if any(each in path.read_text() for each in secret)}
    assert telling == {"secrets.json", "mongod-key", "s3-identities.json", "settings.json", "aws-credentials"}
    private = [*telling, "redis.conf", "seaweedfs-key.pem", "seaweedfs-certificate.pem", "state.json"]
    assert {stat.S_IMODE((servers.home.path / name).stat().st_mode) for name in private} == {0o600}
    assert stat.S_IMODE(servers.home.path.stat().st_mode) == 0o700


async def test_redis_closes_every_command_that_darkroom_never_calls(servers: Servers) -> None:
    settings = servers.start(ray_address=NO_RAY).settings
    with Redis.from_url(settings.redis_url) as redis:
        for command in CLOSED:
            with pytest.raises(NoPermissionError):
                redis.execute_command(*command.split(" "))
        with pytest.raises(ResponseError, match=r"DEBUG|permission"):
            redis.execute_command("DEBUG", "OBJECT", "key")
    async with connect_redis(settings) as darkroom:
        keys = ["darkroom:a", "darkroom:b", "darkroom:c"]
        await load_script(darkroom, "count")(keys=keys, args=[60, 0, "completed", 3, 2])
        assert await darkroom.hget(keys[0], "bytesIn") == "3"


def test_mongod_speaks_no_compression(servers: Servers) -> None:
    url = servers.start(ray_address=NO_RAY).settings.mongo_url
    with MongoClient[dict[str, Any]](url, compressors="zlib") as client:
        assert "compression" not in client.admin.command("hello", compression=["zlib", "snappy", "zstd"])


def test_a_folder_of_a_version_without_passwords_keeps_its_data(servers: Servers) -> None:
    numbers = State.read(servers.home.state_file).ports
    mongod = [str(binaries.mongod()), f"--dbpath={servers.home.mongodb}", f"--port={numbers['mongod']}"]
    redis = [str(binaries.redis_server()), "--dir", str(servers.home.redis), "--port", str(numbers["redis"])]
    started = [
        processes.spawn(command, environment=os.environ, log_file=servers.home.log_file("old"))
        for command in (
            [*mongod, "--bind_ip=127.0.0.1", f"--replSet={REPLICA_SET}", "--nounixsocket"],
            [*redis, "--bind", "127.0.0.1", "--appendonly", "yes"],
        )
    ]
    try:
        wait_until(lambda: written_without_password(numbers), "the old servers have the data")
    finally:
        for process in started:
            processes.stop_tree(process, servers.home.path, grace_seconds=20)
    stack = servers.start(ray_address=NO_RAY)
    assert read_everywhere(stack)[:2] == [{"old"}] * 2
    write_everywhere(stack, "new")
    assert read_everywhere(stack) == [{"old", "new"}, {"old", "new"}, {"new"}]


def test_an_open_server_of_an_older_version_is_not_adopted(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    state = StateFile(servers.home.state_file)
    before = state.read().servers
    for name, server in before.items():
        state.record_server(name, server.model_copy(update={"environment_digest": ""}))  # as it recorded them
    stack = servers.start(ray_address=NO_RAY)
    assert servers.seen("ready") == set(before)
    assert not any(map(processes.is_alive, [server.process for server in before.values()]))
    assert servers.start(ray_address=NO_RAY).settings == stack.settings
    assert servers.seen("adopted") == set(before)


def written_without_password(numbers: dict[str, int]) -> bool:
    address = f"127.0.0.1:{numbers['mongod']}"
    try:
        with (
            MongoClient[dict[str, Any]](address, directConnection=True, serverSelectionTimeoutMS=1000) as mongo,
            Redis(port=numbers["redis"]) as redis,
        ):
            if mongo["local"]["system.replset"].find_one() is None:
                members = [{"_id": 0, "host": address}]
                mongo.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            mongo["test"].get_collection("texts").update_one({"text": "old"}, {"$set": {"text": "old"}}, upsert=True)
            redis.hset("texts", "old", "kept")
    except (PyMongoError, RedisError):
        return False
    return True
