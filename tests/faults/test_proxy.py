"""While a part of Ray Serve is away, no caller hears that its request or its address does not exist."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import httpx
import pytest

from tests.support.catalogues import catalogue
from tests.support.jobs import finished
from tests.support.kills import GCS, RECOVERY_SECONDS, kill_part_of_ray, kill_titled
from tests.support.origin import reply
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.origin import Origin
    from tests.support.service import Service

WATCHED_SECONDS = 25
NO_ANSWER = "no answer"
AWAY = {"starting", "interrupted", "overloaded", "store_unavailable"}
PARTS: dict[str, Callable[[Service], object]] = {
    "proxy": lambda service: kill_titled(service, "ProxyActor"),
    "controller": lambda service: kill_titled(service, "ServeController"),
    "replica": lambda service: kill_titled(service, "ServeReplica:status"),
    "proxy and controller": lambda service: [kill_titled(service, each) for each in ("ServeController", "ProxyActor")],
    "head": lambda service: kill_part_of_ray(service, GCS),
}
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Watcher:
    """Polls a request and uploads a dry run, and counts the answers."""

    def __init__(self, service: Service, request_id: str, file: bytes) -> None:
        self._http = httpx.Client(base_url=service.url, headers=service.authorization, trust_env=False, timeout=20)
        self._path = f"/api/status/{request_id}"
        self._file = file
        self.answers: Counter[str] = Counter()
        self.foreign: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self) -> bool:
        """Ask for both, and return whether both were well."""
        poll = self._answer(lambda: self._http.get(self._path, params={"limit": 1}))
        files, dry = {"file": ("a.csv", self._file)}, {"dryRun": "true"}
        upload = self._answer(lambda: self._http.post("/api/upload", files=files, data=dry))
        return poll == upload == "200"

    def _answer(self, call: Callable[[], httpx.Response]) -> str:
        try:
            answer = call()
        except httpx.TransportError:
            said = NO_ANSWER
        else:
            said = "200" if answer.status_code == httpx.codes.OK else self._refusal(answer)
        self.answers[said] += 1
        return said

    def _refusal(self, answer: httpx.Response) -> str:
        ours = answer.headers.get("content-type") == "application/problem+json"
        code = str(answer.json()["code"]) if ours else ""
        if code not in AWAY or not answer.headers.get("retry-after"):
            self.foreign.append(f"{answer.status_code} {answer.text[:200]}")
        return code

    def watch(self) -> None:
        """Ask for a while, and then until all is well again."""
        until = time.monotonic() + WATCHED_SECONDS
        wait_until(
            lambda: self.ask() and time.monotonic() > until, "all is well again", timeout_seconds=RECOVERY_SECONDS
        )


@pytest.mark.parametrize("part", PARTS)
def test_no_caller_is_told_of_a_wrong_address(supervised: Service, origin: Origin, part: str) -> None:
    file = catalogue([origin.route("/a.jpg", reply(jpeg()))])
    with supervised.client() as darkroom:
        status, _ = finished(darkroom, file)
        with Watcher(supervised, status.request_id, file) as watcher:
            assert watcher.ask()
            PARTS[part](supervised)
            watcher.watch()
        print(f"{part}: {dict(watcher.answers)}")
        assert watcher.foreign == []
        assert darkroom.status(status.request_id).status == "completed"
