"""MongoDB: one mongod as a replica set of one, because transactions need a replica set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deployments.local import binaries, ports
from deployments.local.private_files import write_private
from deployments.local.server import NotReadyError, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployments.local.credentials import Credentials
    from deployments.local.home import Home

    Client = MongoClient[dict[str, Any]]

REPLICA_SET = "darkroom"

_CACHE_GIGABYTES = 0.25
_USER, _USERS_DATABASE = "darkroom", "admin"
_ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase")
_SYSTEM_USER, _SYSTEM_DATABASE = "__system", "local"  # built in; its password is the key of the replica set
_AUTHENTICATION_FAILED = 18


class Mongod(Server):
    """A journaled mongod, which holds the truth. It asks everybody for a password."""

    name = "mongod"
    port = ports.MONGOD
    listens_on = (ports.MONGOD,)
    failures: ClassVar[tuple[type[Exception], ...]] = (PyMongoError, NotReadyError)

    def __init__(self, home: Home, numbers: Mapping[str, int], *, credentials: Credentials) -> None:
        super().__init__(home, numbers)
        self._password = credentials.password_of("mongod")
        self._key = credentials.password_of("mongod's replica set")

    @property
    def url(self) -> str:
        """The server's address with the password, as `DARKROOM_MONGO_URL`."""
        login = f"{_USER}:{self._password}"
        return f"mongodb://{login}@{self._address}/?replicaSet={REPLICA_SET}&authSource={_USERS_DATABASE}"

    @property
    def _address(self) -> str:
        return f"{self.host}:{self.ports[ports.MONGOD.name]}"

    def prepare(self) -> None:
        """Write the key of the replica set. Without such a file, mongod asks nobody for a password."""
        write_private(self.home.mongod_key_file, self._key)

    def command(self) -> list[str]:
        """Return the command of a mongod. Its journal is always on: since 6.1 there is no option."""
        return [
            str(binaries.mongod()),
            f"--dbpath={self.home.mongodb}",
            f"--port={self.ports[ports.MONGOD.name]}",
            f"--bind_ip={self.host}",
            f"--replSet={REPLICA_SET}",
            f"--keyFile={self.home.mongod_key_file}",
            # Otherwise any program on this machine could make the first user.
            "--setParameter=enableLocalhostAuthBypass=0",
            "--networkMessageCompressors=disabled",  # zlib's leaked memory to everybody (CVE-2025-14847)
            f"--wiredTigerCacheSizeGB={_CACHE_GIGABYTES}",
            "--nounixsocket",
            "--quiet",
        ]

    def check(self) -> None:
        """Make the replica set and the user, or mend them after a change. Return when there is a primary."""
        with self.administrator() as client:
            self._configure(client)
            if not client.admin.command("hello")["isWritablePrimary"]:
                raise NotReadyError("the replica set has no primary yet")
            if not self._user_may_enter():
                exists = client[_USERS_DATABASE].command("usersInfo", _USER)["users"]
                change = "updateUser" if exists else "createUser"
                client[_USERS_DATABASE].command(change, _USER, pwd=self._password, roles=_ROLES)

    def administrator(self) -> Client:
        """Return a client that may do everything, on this server alone."""
        return self._client(_SYSTEM_USER, self._key, _SYSTEM_DATABASE)

    def _user_may_enter(self) -> bool:
        with self._client(_USER, self._password, _USERS_DATABASE) as client:
            try:
                client.admin.command("ping")
            except OperationFailure as error:
                if error.code != _AUTHENTICATION_FAILED:
                    raise
                return False
        return True

    def _client(self, user: str, password: str, database: str) -> Client:
        timeout_ms = round(self.check_timeout_seconds * 1000)
        return MongoClient(
            self._address,
            username=user,
            password=password,
            authSource=database,
            authMechanism="SCRAM-SHA-256",
            directConnection=True,  # the set may name an address that is no longer in use
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
        )

    def _configure(self, client: Client) -> None:
        members = [{"_id": 0, "host": self._address}]
        # The stored configuration counts. While the server loads it, the server says that it has none.
        if client["local"]["system.replset"].find_one() is None:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            return
        config = client.admin.command("replSetGetConfig")["config"]
        if [member["host"] for member in config["members"]] != [self._address]:
            mended = {**config, "version": config["version"] + 1, "members": members}
            client.admin.command("replSetReconfig", mended, force=True)
