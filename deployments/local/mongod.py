"""MongoDB: one mongod as a replica set of one, because transactions need a replica set."""

from __future__ import annotations

from typing import Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deployments.local import binaries, ports
from deployments.local.server import NotReadyError, Server

REPLICA_SET = "darkroom"

_CACHE_GIGABYTES = 0.25
_TIMEOUT_MS = 2000


class Mongod(Server):
    """The truth: a journaled mongod."""

    name = "mongod"
    port = ports.MONGOD
    failures: ClassVar[tuple[type[Exception], ...]] = (PyMongoError, NotReadyError)

    @property
    def url(self) -> str:
        """Where it answers, as `DARKROOM_MONGO_URL`."""
        return f"mongodb://{self._host}/?replicaSet={REPLICA_SET}"

    @property
    def _host(self) -> str:
        return f"{ports.LOOPBACK}:{self.ports[ports.MONGOD.name]}"

    def command(self) -> list[str]:
        """A mongod on loopback alone; the journal is always on, and since 6.1 there is no option for it."""
        return [
            str(binaries.mongod()),
            f"--dbpath={self.home.mongodb}",
            f"--port={self.ports[ports.MONGOD.name]}",
            f"--bind_ip={ports.LOOPBACK}",
            f"--replSet={REPLICA_SET}",
            f"--wiredTigerCacheSizeGB={_CACHE_GIGABYTES}",
            "--nounixsocket",
            "--quiet",
        ]

    def check(self) -> None:
        """Make the replica set when it is new, mend it when the port has changed, and return when it has a primary."""
        client: MongoClient[dict[str, Any]] = MongoClient(
            self._host,
            directConnection=True,  # the set may name a host that is no longer there
            serverSelectionTimeoutMS=_TIMEOUT_MS,
            connectTimeoutMS=_TIMEOUT_MS,
            socketTimeoutMS=_TIMEOUT_MS * 5,
        )
        with client:
            self._configure(client)
            if not client.admin.command("hello")["isWritablePrimary"]:
                raise NotReadyError("the replica set has no primary yet")

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        members = [{"_id": 0, "host": self._host}]
        # What is stored, not what the server says: while it loads its configuration it says that it has none.
        if client["local"]["system.replset"].find_one() is None:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            return
        config = client.admin.command("replSetGetConfig")["config"]
        if [member["host"] for member in config["members"]] != [self._host]:
            mended = {**config, "version": config["version"] + 1, "members": members}
            client.admin.command("replSetReconfig", mended, force=True)
