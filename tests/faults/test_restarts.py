"""A crash, a stop, a new deployment and a restart: nothing is lost, and nothing is done again that was done."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import yaml

from deployments.local import processes
from deployments.local.environment import settings_environment
from deployments.local.serve_client import ServeClient
from deployments.local.service import DRAIN_WAIT_SECONDS, SERVE_CONFIG, bring_up
from deployments.local.state import State
from tests.support.catalogues import catalogue
from tests.support.command import up_in_the_foreground
from tests.support.jobs import delivered
from tests.support.kills import kill_servers, kill_titled
from tests.support.neighbour import neighbour
from tests.support.origin import reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.service import is_ready
from tests.support.waiting import wait_until
from tests.support.watched_job import WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deployments.local.home import Home
    from deployments.local.processes import ProcessId
    from tests.support.fault_table import Note
    from tests.support.origin import Origin
    from tests.support.service import Service

STOPPED_IMAGES, DEPLOYED_IMAGES = 150, 150
SLOW_SECONDS = 1.0
FETCHED_AGAIN = 24  # at most: in flight at the kill, done and not recorded, or let go for the small request
STARTED = 10
HOOK_SECONDS = 11.0  # longer than the process that drains takes to start, and nearly too long for a call
UPLOAD_EVERY_SECONDS, REPLACED_SECONDS = 1.0, 90
GIVEN_UP = 8  # downloads, by each small request, which lets batches end early
STOP_SECONDS = DRAIN_WAIT_SECONDS + 30  # with a start of the process that drains, and the servers' own ends
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def jobs(own: Service, origin: Origin) -> Iterator[Callable[[int], WatchedJob]]:
    """Return a function that begins a job of so many images, and returns when some of them are done."""
    with ExitStack() as stack:

        def begin(images: int) -> WatchedJob:
            job = WatchedJob(own, origin, images=images, slow_seconds=SLOW_SECONDS)
            stack.enter_context(job).await_done(STARTED)
            return job

        yield begin


@pytest.mark.timeout(300)
def test_everything_is_killed_and_later_stopped_and_each_up_goes_on(
    own: Service, origin: Origin, jobs: Callable[[int], WatchedJob], note: Note, tmp_path: Path
) -> None:
    hook = origin.route("/slow-hook", slow_headers(HOOK_SECONDS, reply(status=204)))
    file, told = catalogue([origin.route("/small.jpg", reply(jpeg()))]), tmp_path / "told"
    job = jobs(STOPPED_IMAGES)
    killed = kill_servers(own, *own.stack.embedded)
    with up_in_the_foreground(own.stack.home.path, told, settings_environment(own.given)):
        note("everything killed, from the next `darkroom up`", job.seconds_until_work_went_on(killed))
        with own.client() as darkroom:
            small = darkroom.submit(file, webhook_url=hook).request_id
        wait_until(lambda: bool(origin.requests_to("/slow-hook")), "a webhook is being called")
        kill_titled(own, "QueueManager")  # the next one has to find the running coordinators first
        begun = time.monotonic()  # SIGTERM comes now
    assert time.monotonic() - begun < STOP_SECONDS
    assert told.read_text().index("Ray             ready") < told.read_text().index("Darkroom is ready")
    first = job.fetched
    assert len(set(job.fetches)) < STOPPED_IMAGES, "it was stopped in the middle"
    bring_up(own.given, own.stack.home, lambda _event: None)
    seconds = job.seconds_until_work_went_on(begun)
    job.check(fetched_again=FETCHED_AGAIN)
    with own.client() as darkroom:
        assert [each.state for each in delivered(darkroom, small)] == ["delivered"]
    assert len(origin.requests_to("/slow-hook")) == 1
    assert not set(job.fetches[:first]) & set(job.fetches[first:])
    note("SIGTERM to `darkroom up`, then another `up`", seconds)


@pytest.mark.long
def test_a_changed_config_replaces_the_replicas_and_the_work_goes_on(
    own: Service, origin: Origin, jobs: Callable[[int], WatchedJob], note: Note, tmp_path: Path
) -> None:
    job = jobs(DEPLOYED_IMAGES)
    before = {*own.ray_processes("ServeReplica:upload"), *own.ray_processes("ServeReplica:status")}
    config = yaml.safe_load(SERVE_CONFIG.read_text())
    for application in config["applications"]:
        application["runtime_env"] = {"env_vars": {"TZ": "UTC"}}  # enough for Serve to start all of them anew
        application["deployments"][0]["num_replicas"] = 2
        del application["deployments"][0]["max_replicas_per_node"]  # there is one node
    changed = tmp_path / "serve.yaml"
    changed.write_text(yaml.safe_dump(config))
    begun = time.monotonic()
    serve = ServeClient(own.stack.dashboard_url, own.stack.ray_token)
    serve.deploy(
        changed,
        http_host=own.settings.host,
        http_port=own.stack.http_port,
        replica_environment=own.stack.replica_environment,
    )

    def are_replaced() -> bool:
        now = {*own.ray_processes("ServeReplica:upload"), *own.ray_processes("ServeReplica:status")}
        return len(now) == 4 and not now & before

    file = catalogue([origin.route("/small.jpg", reply(jpeg()))])
    with own.client() as darkroom:
        accepted = []
        while not are_replaced():
            assert time.monotonic() < begun + REPLACED_SECONDS
            job.note_done()
            accepted.append(darkroom.submit(file).request_id)
            time.sleep(UPLOAD_EVERY_SECONDS)
        serve.await_ready(own.url, timeout_seconds=60)
        seconds = job.seconds_until_work_went_on(begun)
        job.check(fetched_again=GIVEN_UP * len(accepted))
        assert accepted
        assert {darkroom.wait(each, timeout_seconds=60).counts.completed for each in accepted} == {1}
    assert job.unanswered == 0
    note("`serve deploy` of a changed config", seconds)


def servers(home: Home) -> dict[str, ProcessId]:
    return {name: started.process for name, started in State.read(home.state_file).servers.items()}


@pytest.mark.brief
@pytest.mark.timeout(240)
def test_a_dead_server_is_started_again_until_the_end(own: Service, tmp_path: Path) -> None:
    home, told = own.stack.home, tmp_path / "told"
    with up_in_the_foreground(home.path, told, settings_environment(own.given)):
        wait_until(lambda: "supervisor" in servers(home), "it is watched")
        store, head, port = servers(home)["mongod"], servers(home)["ray"], State.read(home.state_file).ports["mongod"]
        processes.send([store], signal.SIGKILL)
        with neighbour(port):
            wait_until(lambda: servers(home)["mongod"] != store, "MongoDB is started again")
            log = home.log_file("supervisor")
            wait_until(lambda: "everything runs again" in log.read_text(), "the supervisor says so", timeout_seconds=90)
        wait_until(lambda: "Everything runs again." in told.read_text(), "`up` says so, too")
        wait_until(lambda: is_ready(home.url), "all is ready", timeout_seconds=60)
        assert State.read(home.state_file).ports["mongod"] != port
        assert servers(home)["ray"] != head  # all that ran on it knew the old port
        everything = [each for leader in servers(home).values() for each in processes.process_tree(leader, home.path)]
    assert "Ray             was running" in told.read_text()
    assert "mongod died and is started again" in told.read_text()
    assert told.read_text().count("Everything runs again.") == 1
    assert not any(map(processes.is_alive, everything))
    assert servers(home) == {}
    assert "mongod died" in log.read_text()
    assert "not everything" not in log.read_text()
