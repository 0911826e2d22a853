from __future__ import annotations

import json
import os
import signal
import socket
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from pymongo import MongoClient

from cluster.errors import HomeBusyError, ServerStartError
from cluster.settings import Settings
from deployments.local import binaries, ports, processes
from deployments.local.service import bring_up
from deployments.local.stack import started_stack
from deployments.local.state import StateFile
from tests.integration.deployments.local.servers import (
    NO_RAY,
    Servers,
    open_addresses,
    read_everywhere,
    s3_of,
    write_everywhere,
)
from tests.support.neighbour import neighbour
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeServers = Callable[[str], Servers]

STORES = {"mongod", "redis", "seaweedfs"}


def kill(servers: Servers, *names: str) -> None:
    victims = [servers.process(name) for name in names]
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(processes.is_alive, victims)), "the killed ones are dead")


@pytest.mark.timeout(90)
def test_a_killed_store_is_started_again_with_its_data(servers: Servers) -> None:
    stack = servers.start(ray_address=NO_RAY)
    assert servers.seen("ready") == STORES
    write_everywhere(stack, "first")
    for name in sorted(STORES):
        kill(servers, name)
        assert stack.dead() == [name]
        stack = servers.start(ray_address=NO_RAY)
        assert servers.seen("ready") == {name}
        assert servers.seen("adopted") == STORES - {name}
        write_everywhere(stack, f"after {name}")
    kill(servers, *STORES)
    stack = servers.start(ray_address=NO_RAY)
    assert servers.seen("ready") == STORES
    texts = {"first", *(f"after {name}" for name in STORES)}
    assert read_everywhere(stack) == [texts, texts, texts]


@pytest.mark.timeout(60)
def test_a_stop_leaves_no_process_and_the_data(servers: Servers) -> None:
    stack = servers.start(ray_address=NO_RAY)
    ports_before = StateFile(servers.home.state_file).read().ports
    write_everywhere(stack, "kept")
    left = servers.everything()
    servers.stop()
    assert servers.seen("stopped") == STORES
    assert not any(map(processes.is_alive, left))
    assert servers.mentioned() == []
    assert started_stack(servers.home) is None
    servers.stop()  # again is no error
    stack = servers.start(ray_address=NO_RAY)
    assert read_everywhere(stack) == [{"kept"}] * 3
    assert StateFile(servers.home.state_file).read().ports == ports_before


@pytest.mark.timeout(60)
def test_a_store_waits_for_its_port_while_another_ray_looks_for_it_there(servers: Servers) -> None:
    servers.start(ray_address=NO_RAY)
    before = StateFile(servers.home.state_file).read().ports
    kill(servers, "mongod")
    port = before[ports.MONGOD.name]
    with neighbour(port), pytest.raises(ServerStartError, match=f"port {port}, where your Ray looks for it"):
        servers.start(ray_address=NO_RAY)
    servers.start(ray_address=NO_RAY)
    assert servers.seen("ready") == {"mongod"}
    assert StateFile(servers.home.state_file).read().ports == before


@pytest.mark.timeout(60)
def test_the_data_is_found_on_other_ports(servers: Servers) -> None:
    stack = servers.start(ray_address=NO_RAY)
    write_everywhere(stack, "moved")
    before = StateFile(servers.home.state_file).read().ports
    servers.stop()
    blocked = [before[port.name] for port in (ports.MONGOD, ports.REDIS, ports.S3, ports.SEAWEEDFS_MASTER)]
    with ExitStack() as neighbours:
        for number in blocked:
            neighbours.enter_context(neighbour(number))
        stack = servers.start(ray_address=NO_RAY)
        assert not set(StateFile(servers.home.state_file).read().ports.values()) & set(blocked)
        write_everywhere(stack, "and written")
        assert read_everywhere(stack) == [{"moved", "and written"}] * 3


@pytest.mark.timeout(60)
def test_two_folders_live_beside_each_other(make_servers: MakeServers) -> None:
    one, other = make_servers("one"), make_servers("other")
    stacks = [one.start(ray_address=NO_RAY), other.start(ray_address=NO_RAY)]
    for stack, text in zip(stacks, ("one", "other"), strict=True):
        write_everywhere(stack, text)
    one.stop()
    assert not stacks[1].dead()
    assert read_everywhere(stacks[1]) == [{"other"}] * 3


@pytest.mark.timeout(60)
def test_the_stores_are_as_they_must_be(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = servers.start(ray_address=NO_RAY, mongo_database="photos")
    with MongoClient[dict[str, Any]](stack.settings.mongo_url) as mongo, mongo.start_session() as session:
        with session.start_transaction():
            mongo["photos"].get_collection("texts").insert_one({"text": "whole"}, session=session)
        assert mongo["photos"].get_collection("texts").count_documents({}) == 1
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    assert Settings() == stack.settings
    with s3_of(stack, aws_secret_access_key="wrong") as s3, pytest.raises(ClientError) as refused:
        s3.list_buckets()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert open_addresses(servers.everything()) == set()


@pytest.mark.timeout(60)
def test_a_server_that_cannot_start_says_what_to_do_and_the_others_are_stopped(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin" / "mongod"
    broken.parent.mkdir()
    broken.write_text(
        "#!/bin/sh\n"
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file: "
        "No such file or directory' >&2\nexit 127\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    with pytest.raises(ServerStartError) as failure:
        servers.start(ray_address=NO_RAY)
    assert failure.value.server == "mongod"
    assert "sudo apt install libcurl4" in failure.value.remedy
    assert "libcurl.so.4" in failure.value.log_tail
    assert failure.value.log_path == str(servers.home.log_file("mongod"))
    assert servers.mentioned() == []
    assert StateFile(servers.home.state_file).read().servers == {}


def test_a_server_that_is_not_installed_names_the_package(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_WHEELS", Path("/nowhere"))
    monkeypatch.setattr(binaries, "_SCRIPTS", Path("/nowhere"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerStartError, match="make up"):
        servers.start(ray_address=NO_RAY)
    assert servers.mentioned() == []


def test_nothing_is_started_when_the_operator_names_everything(servers: Servers) -> None:
    stack = servers.start(
        mongo_url="mongodb://db.example/?replicaSet=rs0",
        redis_url="redis://cache.example",
        s3_bucket="shop",
        ray_address="head.example:6379",
        secret_key="k" * 32,
        host="0.0.0.0",  # noqa: S104 - as an operator of a cluster sets it
    )
    assert servers.events == []
    assert stack.embedded == frozenset()
    assert stack.url == "http://head.example:8000"
    assert stack.dashboard_url == "http://head.example:8265"
    assert stack.settings.s3_endpoint_url is None
    assert "AWS_ACCESS_KEY_ID" not in stack.environment
    # Every user of that cluster can read the variable. It holds a path, and the file is private.
    assert stack.replica_environment == {"DARKROOM_SETTINGS_FILE": str(servers.home.settings_file)}
    assert stat.S_IMODE(servers.home.settings_file.stat().st_mode) == 0o600
    assert json.loads(servers.home.settings_file.read_text())["secret_key"] == "k" * 32
    assert "RAY_AUTH_TOKEN" not in stack.environment


def test_a_second_start_at_the_same_time_is_refused(servers: Servers) -> None:
    servers.home.create()
    with servers.home.locked(), pytest.raises(HomeBusyError):
        servers.start(ray_address=NO_RAY)


def test_a_taken_port_that_the_operator_asks_for_is_refused(servers: Servers) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as listener, pytest.raises(ServerStartError, match="DARKROOM_PORT"):
        bring_up(Settings(port=listener.getsockname()[1]), servers.home, servers.events.append)
