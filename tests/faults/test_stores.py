"""A store is away for long, silent or slow, breaks connections or garbles its answers. Work waits and goes on."""

from __future__ import annotations

import signal
import time
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import psutil
import pytest
from pymongo.errors import OperationFailure

from deployments.local import processes
from deployments.local.home import Home
from deployments.local.shutdown import stop_all
from deployments.local.stack import start_servers
from deployments.local.state import State
from tests.support.catalogues import catalogue
from tests.support.jobs import check_refused, upload
from tests.support.origin import Origin
from tests.support.proxy import Fault, Proxy
from tests.support.service import Service, impatient_settings, running_service
from tests.support.stores import mongo_administrator
from tests.support.waiting import wait_until
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pymongo import MongoClient

    from cluster.client import Darkroom
    from cluster.settings import Settings
    from deployments.local.processes import ProcessId
    from tests.support.fault_table import Note

KILLED_SECONDS, STOPPED_SECONDS, DISTURBED_SECONDS = 30, 45, 2
IMAGES = 340
SLOW_SECONDS = 1.5
STARTED = 4
DOWNLOADS_PER_TASK = 2
REDONE = 20  # at most, by all faults of a store
GIVEN_UP = 8  # downloads, when another request or a pause lets batches end early; four on two cores
GROWTH_BYTES = 60_000_000
MOST_BYTES = 500_000_000  # of any process, those included that were started meanwhile
LOOK_SECONDS = 1
NODE_NOT_FOUND = 74  # MongoDB's code
NO_RAY = "127.0.0.1:1"
CHECKS = {"mongod": "mongodb", "redis": "redis", "seaweedfs": "s3"}
PORTS = {"mongod": "mongod", "redis": "redis", "seaweedfs": "s3"}
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Stores(NamedTuple):
    """Stores, each behind a proxy."""

    home: Home
    settings: Settings
    proxies: dict[str, Proxy]

    def process(self, name: str) -> ProcessId:
        return State.read(self.home.state_file).servers[name].process

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        processes.send([self.process(name)], signal.SIGKILL)
        try:
            yield
        finally:
            self.start()

    def start(self) -> None:
        """Start the stores that do not run. Let MongoDB give the address of its proxy to its clients."""
        start_servers(self.settings, self.home, lambda _: None)
        with mongo_administrator(self.home) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            members = [{**config["members"][0], "host": f"127.0.0.1:{self.proxies['mongod'].port}"}]
            changed = {**config, "version": config["version"] + 1, "members": members}
            wait_until(lambda: moved(client, changed), "MongoDB tells where its proxy is")

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        processes.send([self.process(name)], signal.SIGSTOP)
        try:
            yield
        finally:
            processes.send([self.process(name)], signal.SIGCONT)

    @contextmanager
    def disturbed(self, name: str, fault: Fault) -> Iterator[None]:
        self.proxies[name].fault = fault
        try:
            yield
        finally:
            self.proxies[name].fault = None


def moved(client: MongoClient[dict[str, Any]], config: dict[str, Any]) -> bool:
    """Give MongoDB a new configuration. On a busy machine it refuses an address that it cannot reach at once."""
    try:
        client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as error:
        if error.code != NODE_NOT_FOUND:
            raise
        return False
    return True


def moved_url(url: str, before: int, after: int) -> str:
    assert f":{before}/" in url
    return url.replace(f":{before}/", f":{after}/")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[tuple[Stores, Service]]:
    folder = tmp_path_factory.mktemp("stores")
    home = Home(folder / "stores")
    given = impatient_settings(home.path).model_copy(update={"ray_address": NO_RAY})
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        stack.callback(stop_all, home, lambda _: None)
        running = start_servers(given, home, lambda _: None)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, running.environment[name])
        ports = State.read(home.state_file).ports
        proxies = {name: stack.enter_context(Proxy(ports[port], seed=seed)) for name, port in PORTS.items()}
        named = {
            "mongo_url": moved_url(running.settings.mongo_url, ports["mongod"], proxies["mongod"].port),
            "redis_url": moved_url(running.settings.redis_url, ports["redis"], proxies["redis"].port),
            "s3_endpoint_url": f"http://127.0.0.1:{proxies['seaweedfs'].port}",
            "batch_timeout_seconds": 180,
            "downloads_per_task": DOWNLOADS_PER_TASK,
            "download_timeout_seconds": 10,
        }
        own = Stores(home, given, proxies)
        own.start()
        yield own, stack.enter_context(running_service(folder / "service", **named))


def resident(service: Service) -> dict[ProcessId, int]:
    """Return the memory of each working process of the service. An idle one may not have imported everything."""
    sizes = {}
    for each in set(service.ray_processes("")) - set(service.ray_processes("IDLE")):
        try:
            sizes[each] = psutil.Process(each.pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return sizes


class Memory:
    """The growth of each process that has been there since the beginning, and the size of the largest process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._first = resident(service)
        self._titles = {each: processes.command_line(each.pid) for each in self._first}
        self._peaks = dict(self._first)
        self.largest = 0

    def look(self) -> None:
        for each, size in resident(self._service).items():
            self.largest = max(self.largest, size)
            if each in self._first:
                self._peaks[each] = max(self._peaks[each], size)

    @property
    def grown(self) -> dict[str, int]:
        """The bytes of growth at the worst look, by the process's first title and its number."""
        return {f"{self._titles[each]} {each.pid}": peak - self._first[each] for each, peak in self._peaks.items()}


def hold(until: float, memory: Memory) -> None:
    """Leave things as they are until then, of `time.monotonic()`."""
    while time.monotonic() < until:
        memory.look()
        time.sleep(LOOK_SECONDS)


class Uploads:
    """Small uploads while a store is away or disturbed, each with an `Idempotency-Key` of its own."""

    def __init__(self, service: Service, origin: Origin) -> None:
        self._service = service
        self._file = catalogue([f"{origin.url}/0.jpg"])
        self.answers: dict[str, httpx.Response] = {}  # by key

    def send(self, key: str | None = None) -> httpx.Response:
        """Send another one, or one again."""
        key = key or uuid.uuid4().hex
        self.answers[key] = upload(self._service, self._file, idempotency_key=key)
        return self.answers[key]

    def accepted(self) -> set[str]:
        """Send all uploads again, check that accepted ones are the same, and return the requests."""
        before = {key: answer.json() for key, answer in self.answers.items() if answer.is_success}
        after = {key: self.send(key) for key in self.answers}
        assert {answer.status_code for answer in after.values()} == {202}
        ids = {key: answer.json()["requestId"] for key, answer in after.items()}
        assert {key: ids[key] for key in before} == {key: answer["requestId"] for key, answer in before.items()}
        return set(ids.values())


def check_answers_while_away(service: Service, store: str, uploads: Uploads) -> None:
    """Check that the service tells which store is away, and accepts nothing that it could not do now."""

    def is_told() -> bool:
        answer = httpx.get(f"{service.url}/readyz", timeout=20, trust_env=False)
        return answer.status_code == 503 and not answer.json()["checks"][CHECKS[store]]["ok"]

    wait_until(is_told, f"readyz tells that {store} is away", timeout_seconds=30)
    check_refused(uploads.send())


def requests_of(service: Service) -> set[str]:
    with service.client() as darkroom:
        return {each.request_id for each in darkroom.requests(limit=100).requests}


def check_hears(darkroom: Darkroom, job: WatchedJob) -> None:
    """Check that the job's coordinator still obeys after all these faults."""
    darkroom.pause(job.request_id)
    wait_until(lambda: job.seen[-1][1].status == "pending", "it waits", timeout_seconds=60)
    darkroom.resume(job.request_id)


@pytest.mark.parametrize("store", ["mongod", "redis", "seaweedfs"])
def test_work_goes_on_after_every_fault_of_a_store(both: tuple[Stores, Service], store: str, note: Note) -> None:
    stores, service = both
    away: dict[str, tuple[Callable[[str], AbstractContextManager[None]], float]] = {
        f"killed, back after {KILLED_SECONDS} s": (stores.killed, KILLED_SECONDS),
        f"stopped for {STOPPED_SECONDS} s": (stores.stopped, STOPPED_SECONDS),
    }
    earlier = requests_of(service)
    with (
        Origin() as origin,
        WatchedJob(service, origin, images=IMAGES, slow_seconds=SLOW_SECONDS) as job,
    ):
        job.await_done(STARTED)
        memory, uploads = Memory(service), Uploads(service, origin)
        for what, (fault, seconds) in away.items():
            with fault(store):
                until = time.monotonic() + seconds
                check_answers_while_away(service, store, uploads)
                hold(until, memory)
            note(f"{store} {what}", job.seconds_until_work_went_on(time.monotonic()))
        for disturbance in Fault:
            with stores.disturbed(store, disturbance):
                until = time.monotonic() + DISTURBED_SECONDS
                if (answer := uploads.send()).status_code != httpx.codes.ACCEPTED:
                    check_refused(answer)
                hold(until, memory)
            seconds = job.seconds_until_work_went_on(time.monotonic())
            note(f"{store} behind a proxy: {disturbance} for {DISTURBED_SECONDS} s", seconds)
        with service.client() as darkroom:
            if store == "mongod":  # by which it is told
                check_hears(darkroom, job)
            job.check(fetched_again=REDONE + GIVEN_UP * (len(uploads.answers) + 1))
            print(f"{job.fetched - IMAGES} of {IMAGES} pictures were fetched again")
            accepted = uploads.accepted()
            assert {darkroom.wait(each, timeout_seconds=60).counts.completed for each in accepted} == {1}
    assert requests_of(service) == {*earlier, job.request_id, *accepted}
    assert memory.largest < MOST_BYTES
    assert {title: size for title, size in memory.grown.items() if size > GROWTH_BYTES} == {}
