"""A request as its clients see it while machines come and go, and as MongoDB's own record has it."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cluster.errors import ApiError
from tests.support.cluster import NODES
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.cluster import Cluster

_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 2
_PROFILE_BYTES = 256 * 1024 * 1024
_NOTED_WITHIN = timedelta(seconds=0.1)  # MongoDB notes an operation when it has ended


class Answer(NamedTuple):
    """What a client was told."""

    at: float  # of `time.monotonic()`
    progress: float


class Poller:
    """Asks for a request's status all the time, as a client behind a load balancer: of another node after no answer."""

    def __init__(self, cluster: Cluster, request_id: str) -> None:
        self.answers: list[Answer] = []
        self._cluster = cluster
        self._request_id = request_id
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: bool(self.answers), "the service answers")
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def longest_silence_seconds(self) -> float:
        """Between two answers."""
        times = [each.at for each in self.answers]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def _run(self) -> None:
        node = 0
        while not self._is_over.wait(_POLL_SECONDS):
            try:
                with self._cluster.client(NODES[node], timeout_seconds=_ANSWER_SECONDS) as client:
                    status = client.status(self._request_id, limit=1)
                self.answers.append(Answer(time.monotonic(), status.progress))
            except ApiError:
                node = (node + 1) % len(NODES)


class Write(NamedTuple):
    """One update of products, as MongoDB carried it out."""

    at: datetime
    machine: str
    epoch: int  # which the products must have
    modified: int


class Recorder:
    """What MongoDB was asked to write to products, by whom, and what came of it: its profiler keeps every operation."""

    def __init__(self, cluster: Cluster) -> None:
        self._machines = {address: name for name, address in cluster.network.addresses.items()}
        self._database = cluster.database
        self._updates = {"op": "update", "ns": f"{self._database.name}.products"}

    def __enter__(self) -> Self:
        self._database.command("profile", 0)
        self._database.drop_collection("system.profile")
        self._database.create_collection("system.profile", capped=True, size=_PROFILE_BYTES)
        self._database.command("profile", 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._database.command("profile", 0)

    def late_writes(self, request_id: str) -> list[Write]:
        """The writes of coordinators that came when a newer one had taken everything over."""
        operations = list(self._database["system.profile"].find(self._updates | {"command.q.requestId": request_id}))
        takeovers = {epoch["$lt"]: each["ts"] for each in operations if isinstance(epoch := _epoch(each), dict)}
        return [
            Write(each["ts"], self._machine(each), epoch, each.get("nModified", 0))
            for each in operations
            if isinstance(epoch := _epoch(each), int)
            and any(epoch < newer and each["ts"] > at + _NOTED_WITHIN for newer, at in takeovers.items())
        ]

    def unfenced_writes(self, request_id: str) -> int:
        """How many writes would have been made by any coordinator, whoever owns the request."""
        unfenced = {"command.q.requestId": request_id, "command.q.epoch": {"$exists": False}}
        return self._database["system.profile"].count_documents(self._updates | unfenced)

    def _machine(self, operation: dict[str, Any]) -> str:
        return self._machines.get(operation["client"].partition(":")[0], "")


def _epoch(operation: dict[str, Any]) -> object:
    return operation["command"]["q"].get("epoch")
