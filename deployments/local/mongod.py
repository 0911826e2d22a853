"""MongoDB: one mongod as a replica set of one, because transactions need a replica set."""

from __future__ import annotations

from typing import Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deployments.local import binaries, ports
from deployments.local.server import NotReadyError, Server

REPLICA_SET = "darkroom"

_CACHE_GIGABYTES = 0.25


class Mongod(Server):
    """A journaled mongod, which holds the truth."""

    name = "mongod"
    port = ports.MONGOD
    check_timeout_seconds: ClassVar[float] = 2
    failures: ClassVar[tuple[type[Exception], ...]] = (PyMongoError, NotReadyError)

    @property
    def url(self) -> str:
        """The server's address, as `DARKROOM_MONGO_URL`."""
        return f"mongodb://{self._host}/?replicaSet={REPLICA_SET}"

    @property
    def _host(self) -> str:
        return f"{ports.LOOPBACK}:{self.ports[ports.MONGOD.name]}"

    def command(self) -> list[str]:
        """Return the command of a mongod on loopback alone. Its journal is always on: since 6.1 there is no option."""
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
        """Make the replica set, or mend it after a change of the port. Return when it has a primary."""
        timeout_ms = round(self.check_timeout_seconds * 1000)
        client: MongoClient[dict[str, Any]] = MongoClient(
            self._host,
            directConnection=True,  # the set may name an address that is no longer in use
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms * 5,
        )
        with client:
            self._configure(client)
            if not client.admin.command("hello")["isWritablePrimary"]:
                raise NotReadyError("the replica set has no primary yet")

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        members = [{"_id": 0, "host": self._host}]
        # The stored configuration counts. While the server loads it, the server says that it has none.
        if client["local"]["system.replset"].find_one() is None:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            return
        config = client.admin.command("replSetGetConfig")["config"]
        if [member["host"] for member in config["members"]] != [self._host]:
            mended = {**config, "version": config["version"] + 1, "members": members}
            client.admin.command("replSetReconfig", mended, force=True)
