from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest

from cluster.errors import ServerStartError
from deployments.local import Home, processes
from deployments.local.credentials import Credentials
from deployments.local.memory import memory_by_part
from deployments.local.ports import LOOPBACK
from deployments.local.serve_client import ServeClient
from deployments.local.service import APPLICATIONS, take_down
from tests.integration.deployments.local.servers import Servers, open_addresses
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deployments.local.server import Event
    from deployments.local.stack import RunningStack

pytestmark = pytest.mark.timeout(120)

EVERYTHING = {"mongod", "redis", "seaweedfs", "ray"}
DRIVER = "import ray; ray.init(log_to_driver=False); print(ray.get(ray.remote(lambda: 'answer').remote()))"
ASK = (  # `ray.init` itself goes on trying for 20 s
    "import os; from ray._raylet import GcsClient\n"
    "print('answer', GcsClient(os.environ['RAY_ADDRESS']).internal_kv_keys(b'', None, timeout=5))"
)
MEMORY_LIMIT_BYTES = 2.5 * 1024**3


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(Home(tmp_path_factory.mktemp("ray") / "a folder with a long name" / ".darkroom"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the replicas find toy_app
        yield servers
        servers.stop()


@pytest.fixture
def stack(running: Servers) -> RunningStack:
    return running.start(max_rows=7)


def config(folder: Path, import_path: str) -> Path:
    path = folder / "serve.yaml"
    path.write_text(f"applications:\n  - name: toy\n    route_prefix: /\n    import_path: {import_path}\n")
    return path


def deploy(stack: RunningStack, config_file: Path) -> ServeClient:
    serve = ServeClient(stack.dashboard_url, stack.ray_token)
    serve.deploy(
        config_file, http_host="127.0.0.1", http_port=stack.http_port, replica_environment=stack.replica_environment
    )
    return serve


def drive(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_driver_with_the_environment_works_and_one_without_the_token_does_not(stack: RunningStack) -> None:
    done = drive(DRIVER, stack.environment)
    assert (done.returncode, done.stdout.strip()) == (0, "answer"), done.stderr
    assert "answer" in drive(ASK, stack.environment).stdout
    without = {name: value for name, value in stack.environment.items() if not name.startswith("RAY_AUTH")}
    refused = drive(ASK, {**without, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64})
    assert refused.returncode != 0
    assert "answer" not in refused.stdout
    assert "authenticat" in refused.stderr.lower()
    assert httpx.get(f"{stack.dashboard_url}/api/version", trust_env=False).status_code == 401
    assert httpx.put(f"{stack.dashboard_url}/api/serve/applications/", json={}, trust_env=False).status_code == 401


def test_an_application_is_deployed_and_finds_the_settings(
    running: Servers, stack: RunningStack, tmp_path: Path
) -> None:
    serve = deploy(stack, config(tmp_path, "toy_app:app"))
    problems: list[str] = []
    serve.await_ready(stack.url, timeout_seconds=60, on_problem=problems.append)
    found = httpx.get(f"{stack.url}/readyz", trust_env=False).json()
    assert found == {
        "mongoUrl": stack.settings.mongo_url,
        "s3EndpointUrl": stack.settings.s3_endpoint_url,
        "maxRows": 7,
        "keys": ["AWS_ACCESS_KEY_ID", "DARKROOM_SECRET_KEY"],
    }
    parts = dict(memory_by_part(running.home))
    assert {"mongod", "redis", "seaweedfs", "ray: gcs", "ray: raylet", "ray: ServeReplica:toy:Toy"} <= parts.keys()
    assert all(parts.values())
    assert sum(parts.values()) < MEMORY_LIMIT_BYTES
    serve.shutdown(timeout_seconds=60)


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._folder),)


def test_a_replica_unpickles_nothing_without_the_token(running: Servers, stack: RunningStack, tmp_path: Path) -> None:
    serve = deploy(stack, config(tmp_path, "toy_app:app"))
    serve.await_ready(stack.url, timeout_seconds=60)
    replicas = [each for each in running.everything() if "ray::ServeReplica" in processes.command_line(each.pid)]
    opened = open_addresses(replicas)
    assert len(opened) == len(replicas) == 1  # Ray binds it to every interface, and has no setting for it
    port = int(opened.pop().rpartition(":")[2], 16)
    tokens = {"none": None, "wrong": "f" * 64, "right": stack.ray_token}
    answers = {name: code_of_call(port, tmp_path / name, token) for name, token in tokens.items()}
    assert answers["none"] is answers["wrong"] is grpc.StatusCode.UNAUTHENTICATED
    assert [name for name in tokens if (tmp_path / name).exists()] == ["right"]  # so the call does reach it
    serve.shutdown(timeout_seconds=60)


def code_of_call(port: int, folder: Path, token: str | None) -> grpc.StatusCode:
    """Call a replica as another replica does, with a trap in place of the request's metadata."""
    trap = pickle.dumps(Trap(folder))
    request = bytes([0x0A, len(trap) & 0x7F | 0x80, len(trap) >> 7]) + trap  # field 1, in protobuf's wire format
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        handle: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
        metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        try:
            handle(request, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_no_secret_is_on_a_command_line_or_in_a_log(running: Servers, stack: RunningStack) -> None:
    keys = Credentials.of(running.home)
    names = ("mongod", "mongod's replica set", "redis")
    secrets = {keys.ray_token, keys.s3_secret_key, keys.secret_key, keys.seaweedfs_key, *map(keys.password_of, names)}
    lines = [processes.command_line(each.pid) for each in running.everything()]
    assert len(lines) > len(EVERYTHING)
    logs = [each for each in (running.home.ray / "session_latest" / "logs").rglob("*") if each.is_file()]
    assert logs
    texts = [*lines, *(each.read_text(errors="replace") for each in [*logs, *running.home.logs.iterdir()])]
    assert not [text for text in texts if any(each in text for each in secrets)]


def test_an_application_that_cannot_start_says_why(stack: RunningStack, tmp_path: Path) -> None:
    serve = deploy(stack, config(tmp_path, "toy_app:broken"))
    with pytest.raises(ServerStartError, match="the reason that the operator must see"):
        serve.await_ready(stack.url, timeout_seconds=60)
    serve.shutdown(timeout_seconds=60)


def test_a_config_that_serve_refuses_is_an_error_at_once(stack: RunningStack, tmp_path: Path) -> None:
    wrong = tmp_path / "serve.yaml"
    wrong.write_text("applications:\n  - name: toy\n    route_prefix: /\n    import_path: toy_app\n")
    with pytest.raises(ServerStartError, match="import_path"):
        deploy(stack, wrong)


def test_a_head_that_was_killed_is_replaced_and_its_orphans_removed(running: Servers, stack: RunningStack) -> None:
    head = running.process("ray")
    orphans = processes.process_tree(head, running.home.path)
    os.kill(head.pid, signal.SIGKILL)
    wait_until(lambda: stack.dead() == ["ray"], "the head is dead")
    again = running.start(max_rows=7)
    assert running.seen("ready") == {"ray"}
    assert running.seen("adopted") == EVERYTHING - {"ray"}
    assert again.environment == stack.environment
    assert not any(map(processes.is_alive, orphans))


def test_a_changed_setting_reaches_the_replicas_by_a_new_head(running: Servers, stack: RunningStack) -> None:
    before = running.process("ray")
    assert running.start(max_rows=7).dead() == []
    assert running.process("ray") == before
    running.start(max_rows=8)
    assert running.seen("ready") == {"ray"}
    assert running.process("ray") != before
    assert not processes.is_alive(before)


def test_a_stop_leaves_no_process_although_its_drain_is_interrupted(running: Servers) -> None:
    running.start(max_rows=8)
    left = running.everything()
    assert len(left) > len(EVERYTHING)

    def interrupt(event: Event) -> None:
        running.events.append(event)
        if event.server == APPLICATIONS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_down(running.home, interrupt)
    assert running.seen("stopped") == EVERYTHING
    assert not any(map(processes.is_alive, left))
    assert running.mentioned() == []
    assert (running.home.ray / "session_latest" / "logs").is_dir()
