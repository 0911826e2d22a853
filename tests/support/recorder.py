"""The writes to a request by MongoDB's own record, while machines come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.cluster import Cluster

_PROFILE_BYTES = 256 * 1024 * 1024
_NOTED_WITHIN = timedelta(seconds=0.1)  # MongoDB notes an operation when it has ended


class Write(NamedTuple):
    """One update of products, or of their request, as MongoDB carried it out."""

    at: datetime
    machine: str
    epoch: int  # which the products must have
    modified: int


class Recorder:
    """The writes of requests that MongoDB was asked for, with their origins and results, by its profiler."""

    def __init__(self, cluster: Cluster) -> None:
        self._machines = {address: name for name, address in cluster.network.addresses.items()}
        self._database = cluster.database
        self._products, self._requests = (
            f"{self._database.name}.{each}" for each in ("products", "processing_requests")
        )

    def __enter__(self) -> Self:
        self._database.command("profile", 0)
        self._database.drop_collection("system.profile")
        self._database.create_collection("system.profile", capped=True, size=_PROFILE_BYTES)
        self._database.command("profile", 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._database.command("profile", 0)

    def late_writes(self, request_id: str) -> list[Write]:
        """Return the writes of coordinators that came after a newer one had taken over."""
        query = {"op": "update", "ns": {"$in": [self._products, self._requests]}, "command.q.requestId": request_id}
        operations = list(self._database["system.profile"].find(query))
        takeovers = {epoch["$lt"]: each["ts"] for each in operations if isinstance(epoch := _epoch(each), dict)}
        return [
            Write(each["ts"], self._machine(each), epoch, each.get("nModified", 0))
            for each in operations
            if isinstance(epoch := _epoch(each), int)
            and any(epoch < newer and each["ts"] > at + _NOTED_WITHIN for newer, at in takeovers.items())
        ]

    def unfenced_writes(self, request_id: str) -> int:
        """Return how many writes to products named no epoch, so that any coordinator could have made them."""
        query = {"op": "update", "ns": self._products, "command.q.requestId": request_id}
        return self._database["system.profile"].count_documents(query | {"command.q.epoch": {"$exists": False}})

    def _machine(self, operation: dict[str, Any]) -> str:
        return self._machines.get(operation["client"].partition(":")[0], "")


def _epoch(operation: dict[str, Any]) -> object:
    return operation["command"]["q"].get("epoch")
