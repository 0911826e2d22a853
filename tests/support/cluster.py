"""Darkroom on three nodes and stores beside them, all machines of `tests.support.network`, as you run it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from pydantic import SecretStr
from pymongo import MongoClient

from cluster.client import Darkroom
from cluster.mongo.api_keys import ApiKeyStore
from cluster.mongo.connection import Database
from cluster.records import Scope
from cluster.settings import Settings
from deployments.local import binaries, ports, processes
from deployments.local.credentials import Credentials
from deployments.local.environment import aws_environment, settings_environment
from deployments.local.grpc_sockets import remove_sockets
from deployments.local.home import Home
from deployments.local.mongod import Mongod
from deployments.local.ray_head import TUNING_ENVIRONMENT
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.serve_client import ServeClient
from deployments.local.service import SERVE_CONFIG
from tests.support.network import Network
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo.database import Database as MongoDatabase

    from deployments.local.server import Server

STORES, HEAD, WORKERS = "stores", "head", ("worker1", "worker2")
NODES = (HEAD, *WORKERS)
BATCH_IMAGES = 24  # at most, in one task
_GCS_STORE = "gcs"  # a Redis of Ray's own, since Darkroom's may be emptied
_GCS_PORT, _DASHBOARD_PORT, _HTTP_PORT = 6379, 8265, 8000
_STORE_PORTS_ABOVE = 3000  # SeaweedFS has sockets in a folder that all machines share, so its ports must be its own
_OBJECT_STORE_BYTES = 100_000_000
_READY_SECONDS = 120
_CLIENT_SECONDS = 5
_RAY = [sys.executable, "-m", "deployments.nodes.ray", "start", "--block", "--log-color=false", "--disable-usage-stats"]
_NODE = Path(__file__).parents[2] / "cluster" / "ray-node.sh"
# It restarts a command as systemd does with `Restart=always`.
_RESTARTED = ["/bin/sh", "-c", 'while :; do "$@"; echo "ended with $?"; sleep 1; done', "supervisor", str(_NODE)]


@dataclass(frozen=True)
class Actor:
    """An actor's incarnation, as Ray's head sees it."""

    name: str
    state: str
    node: str
    """The machine's name."""
    pid: int


@dataclass
class Cluster:
    """A running cluster. `start` starts a node as you do, and `Network.kill` ends one as a power cut does."""

    network: Network
    home: Home
    settings: Settings
    mongo: MongoClient[dict[str, Any]]
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    """The environment of every node."""

    @cached_property
    def credentials(self) -> Credentials:
        """The credentials. They are read once, because reading them writes files, too."""
        return Credentials.of(self.home)

    @property
    def database(self) -> MongoDatabase[dict[str, Any]]:
        """The database, to look behind the service."""
        return self.mongo[self.settings.mongo_database]

    @property
    def dashboard_url(self) -> str:
        return f"http://{self.network.addresses[HEAD]}:{_DASHBOARD_PORT}"

    def url(self, node: str) -> str:
        """Return the URL of the service by the proxy of one node."""
        return f"http://{self.network.addresses[node]}:{_HTTP_PORT}"

    def clients(self, nodes: Sequence[str] = NODES) -> list[Darkroom]:
        """Return a client for each node's proxy. They do not wait long, since there are others."""
        return [Darkroom(self.url(node), api_key=self.token, timeout_seconds=_CLIENT_SECONDS) for node in nodes]

    def folder(self, node: str) -> Path:
        """Return the folder of a node's Ray session. Its path is short, because Unix sockets are in it."""
        return self.home.path / "ray" / node

    def log(self, node: str) -> str:
        """Return all that a node's actors and workers of this and earlier sessions have logged."""
        files = sorted(self.folder(node).glob("session_2*/logs/worker-*.err"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs of all nodes and stores."""
        shutil.copytree(self.home.logs, folder / "stores")
        for node in NODES:
            for session in self.folder(node).glob("session_2*"):
                shutil.copytree(session / "logs", folder / node / session.name)

    def object_keys(self, prefix: str) -> set[str]:
        """Return the keys of all objects under a prefix."""
        client = boto3.client(
            "s3",
            endpoint_url=self.settings.s3_endpoint_url,
            region_name=self.settings.s3_region,
            aws_access_key_id=self.credentials.s3_access_key,
            aws_secret_access_key=self.credentials.s3_secret_key,
        )
        with closing(client):
            found = client.get_paginator("list_objects_v2").paginate(Bucket=self.settings.s3_bucket, Prefix=prefix)
            return {each["Key"] for page in found for each in page.get("Contents", [])}

    def actors(self) -> list[Actor]:
        """Return the actors that live or are being restarted, or none when the head does not answer."""
        names = {address: name for name, address in self.network.addresses.items()}
        nodes = {each["node_id"]: names.get(each["node_ip"], "") for each in self._listed("nodes")}
        return [
            Actor(each["name"] or each["class_name"], each["state"], nodes.get(each["node_id"], ""), each["pid"])
            for each in self._listed("actors")
            if each["state"] != "DEAD"
        ]

    def alive(self) -> set[str]:
        """Return the nodes that the head takes for alive."""
        names = {address: name for name, address in self.network.addresses.items()}
        return {names[each["node_ip"]] for each in self._listed("nodes") if each["state"] == "ALIVE"}

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.credentials.ray_token}"}
        url = f"{self.dashboard_url}/api/v0/{kind}"
        try:
            answer = httpx.get(url, params={"limit": 1000}, headers=headers, timeout=5, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return []
        return (((answer or {}).get("data") or {}).get("result") or {}).get("result") or []

    def start(self, node: str) -> None:
        """Start a node under a supervisor, and return at once."""
        address, folder = self.network.addresses[node], self.folder(node)
        folder.mkdir(parents=True, exist_ok=True)
        # Ray starts no head beside another one, which it sees by this file and by processes: here, those of all nodes.
        (folder / "ray_current_cluster").unlink(missing_ok=True)
        options = [
            f"--node-ip-address={address}",
            f"--temp-dir={folder}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
        ]
        head = self.network.addresses[HEAD]
        if node == HEAD:
            dashboard = [f"--dashboard-host={head}", f"--dashboard-port={_DASHBOARD_PORT}", "--no-monitor"]
            options += ["--head", f"--port={_GCS_PORT}", "--num-cpus=0", *dashboard]
        else:
            options += [f"--address={head}:{_GCS_PORT}", "--num-cpus=1"]
        self._spawn(node, node, [*_RESTARTED, *_RAY, *options], self.environment)

    def start_stores(self) -> None:
        """Start all stores, and return when they answer."""
        stores = _stores(self.network, self.home)
        for server in stores:
            server.prepare()
            self._spawn(STORES, server.name, server.command(), server.environment())
        folder = self.home.path / "data" / _GCS_STORE
        folder.mkdir()
        options = {"port": _GCS_PORT, "bind": self.network.addresses[STORES], "appendonly": "yes", "dir": folder}
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._spawn(STORES, _GCS_STORE, [str(binaries.redis_server()), "--protected-mode", "no", *flags], {})
        wait_until(lambda: all(map(_answers, stores)), "the stores answer", timeout_seconds=_READY_SECONDS)

    def deploy(self) -> None:
        """Make a key, deploy the applications, and return when they answer."""

        async def made() -> str:
            async with Database.open(self.settings) as database:
                await database.ensure_indexes()
                return (await ApiKeyStore(database).create(name="test", scopes=list(Scope)))[1]

        self.token = asyncio.run(made())
        wait_until(lambda: self.alive() == set(NODES), "all nodes are there", timeout_seconds=_READY_SECONDS)
        serve = ServeClient(self.dashboard_url, self.credentials.ray_token)
        everywhere = ".".join("0000")
        serve.deploy(SERVE_CONFIG, http_host=everywhere, http_port=_HTTP_PORT, replica_environment={})
        serve.await_ready(self.url(HEAD), timeout_seconds=_READY_SECONDS)

    def use_environment(self) -> None:
        """Make the environment of every node, as `ray.service` gives it, with additions for nodes that share cores."""
        keys = self.credentials
        self.environment = {
            **settings_environment(self.settings),
            **aws_environment(keys.s3_access_key, keys.s3_secret_key),
            **TUNING_ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": keys.ray_token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # or all other work of this machine would come before the actors
            "RAY_REDIS_ADDRESS": f"{self.network.addresses[STORES]}:{_GCS_PORT}",
            "RAY_external_storage_namespace": "darkroom",
        }

    def _spawn(self, machine: str, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        base = {each: value for each, value in os.environ.items() if not each.startswith(("DARKROOM_", "RAY_", "AWS_"))}
        processes.spawn(
            self.network.command(machine, command),
            environment={**base, **environment},
            log_file=self.home.log_file(name),
        )


def _stores(network: Network, home: Home) -> tuple[Mongod, RedisServer, SeaweedFS]:
    """Return the embedded stores, on the machine of the stores instead of on loopback."""
    numbers, credentials = store_ports(), Credentials.of(home)
    stores = (
        Mongod(home, numbers, credentials=credentials),
        RedisServer(home, numbers, credentials=credentials),
        SeaweedFS(home, numbers, credentials=credentials, bucket=Settings().s3_bucket),
    )
    for store in stores:
        store.host = network.addresses[STORES]
    return stores


def _answers(store: Server) -> bool:
    try:
        store.check()
    except store.failures:
        return False
    return True


def store_ports() -> dict[str, int]:
    """Return the ports of the stores, by name."""
    return {port.name: port.usual + _STORE_PORTS_ABOVE for port in ports.ALL}


@contextmanager
def running_cluster(folder: Path, **changes: object) -> Iterator[Cluster]:
    """Run a whole cluster with the applications. `folder` must have a short path. `changes` are settings."""
    home = Home(folder)
    home.create()
    with Network.made(STORES, *NODES) as network:
        settings = store_settings(network, home).model_copy(update=changes)
        cluster = Cluster(network, home, settings, MongoClient(settings.mongo_url, tz_aware=True))
        cluster.use_environment()
        try:
            cluster.start_stores()
            for node in NODES:
                cluster.start(node)
            cluster.deploy()
            yield cluster
        finally:
            cluster.mongo.close()
            for node in NODES:
                network.kill(node)
            network.kill(STORES)
            remove_sockets(store_ports())


def store_settings(network: Network, home: Home) -> Settings:
    """Return the settings with which nodes reach the stores of a network."""
    mongod, redis, seaweedfs = _stores(network, home)
    return Settings(
        home=home.path,
        mongo_url=mongod.url,
        redis_url=redis.url,
        s3_endpoint_url=seaweedfs.url,
        store_timeout_seconds=3,
        secret_key=SecretStr(Credentials.of(home).secret_key),
        allowed_networks=(IPv4Network(network.range),),
        allow_http_webhooks=True,
        downloads_per_task=4,
        max_batch_images=BATCH_IMAGES,
        max_active_requests=2,  # each more is a process that a dying node's neighbours must start, on two cores here
        retry_base_seconds=0.1,
        webhook_timeout_seconds=5,
        webhook_retry_seconds=(1,) * 120,
    )
