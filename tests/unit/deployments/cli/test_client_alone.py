"""A client's machine needs an address, a key and a few small packages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.catalogues import catalogue
from tests.support.command import run
from tests.support.contract_server import REQUEST_ID, UPLOAD, ContractServer, accepted, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER_PACKAGES = {"ray", "boto3", "pymongo", "redis", "PIL", "pyvips", "aiohttp", "cryptography", "fastapi"}
# Python as it is where only the wheel and its own dependencies are installed.
CLIENT_ALONE = """
import json, sys

class Absent:
    names = frozenset(json.loads(sys.argv.pop(1)))

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
"""
COMMAND = f"{CLIENT_ALONE}\nfrom deployments.cli.main import app\napp(prog_name='darkroom')"
LIBRARY = f"""{CLIENT_ALONE}
from cluster.client import Darkroom
with Darkroom(sys.argv[1], api_key="dk_test") as darkroom:
    print(darkroom.submit(b"Serial Number").request_id)
"""


def needed_by(name: str, *, extra: str = "") -> set[str]:
    """Return a distribution and all that it needs, but for extras that nothing asks for."""
    found, todo = set[str](), [(canonicalize_name(name), extra)]
    while todo:
        each, asked = todo.pop()
        if each in found and not asked:
            continue
        found.add(each)
        for text in distribution(each).requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": asked}):
                todo += [(canonicalize_name(needed.name), further) for further in ("", *needed.extras)]
    return found


@pytest.fixture(scope="module")
def absent() -> str:
    """The modules of all distributions that a client does not need, as JSON."""
    needed = needed_by("darkroom")
    modules = packages_distributions()
    return json.dumps([name for name, owners in modules.items() if not needed & {*map(canonicalize_name, owners)}])


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        running.answer("POST", UPLOAD, accepted(), status=202)
        running.answer("GET", f"/api/status/{REQUEST_ID}", status_of("completed", completed=4))
        running.answer("GET", "/api/requests", {"requests": [], "nextCursor": None})
        as_csv = {"content-type": "text/csv; charset=utf-8"}
        running.answer("GET", f"/api/requests/{REQUEST_ID}/results.csv", b"Serial Number\n1\n", headers=as_csv)
        running.answer("POST", f"/api/requests/{REQUEST_ID}/cancel", status_of("failed"))
        yield running


def alone(
    absent: str, folder: Path, *arguments: str, program: str = COMMAND, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, absent, *arguments],
        cwd=folder,
        env={"HOME": str(folder), "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_client_needs_no_package_of_the_service(absent: str) -> None:
    assert set(json.loads(absent)) >= SERVER_PACKAGES
    assert {"ray", "boto3", "pymongo"} <= needed_by("darkroom", extra="server")


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "catalogue.csv"),
        ("submit", "catalogue.csv", "--watch", "--json"),
        ("status",),
        ("status", REQUEST_ID),
        ("watch", REQUEST_ID),
        ("results", REQUEST_ID, "-o", "results.csv"),
        ("cancel", REQUEST_ID),
        ("--help",),
    ],
    ids=" ".join,
)
def test_the_commands_of_a_client_run(
    absent: str, server: ContractServer, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "catalogue.csv").write_bytes(catalogue(["https://cdn.example/a.jpg"]))
    done = alone(absent, tmp_path, *arguments, DARKROOM_URL=server.url, DARKROOM_API_KEY="dk_test")
    assert done.returncode == 0, done.stderr
    assert {call.headers["authorization"] for call in server.calls} <= {"Bearer dk_test"}
    assert bool(server.calls) is (arguments != ("--help",))


def test_a_program_uses_the_client(absent: str, server: ContractServer, tmp_path: Path) -> None:
    done = alone(absent, tmp_path, server.url, program=LIBRARY)
    assert done.stdout.strip() == REQUEST_ID, done.stderr


@pytest.mark.parametrize("command", ["keys", "backup", "doctor", "up", "demo"])
def test_a_command_of_the_service_tells_where_it_runs(absent: str, tmp_path: Path, command: str) -> None:
    refused = alone(absent, tmp_path, command, "create", "--home", "x", DARKROOM_URL="http://127.0.0.1:1")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"✗ `darkroom {command}` needs the packages of the service")
    assert "Traceback" not in refused.stderr
    as_json = alone(absent, tmp_path, command, "create", "--json")
    assert "where the service runs" in json.loads(as_json.stdout)["error"]["detail"]


@pytest.mark.parametrize("arguments", [("keys", "list"), ("keys", "secret"), ("backup", "folder")], ids=" ".join)
def test_a_machine_that_knows_the_address_alone_has_no_keys(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The packages of the service are here, but its MongoDB is not."""
    refused = run(tmp_path, *arguments, DARKROOM_URL="https://darkroom.example", DARKROOM_API_KEY="dk_test")
    assert refused.returncode == 1
    assert "https://darkroom.example" in refused.stderr
    assert "where the service runs" in " ".join(refused.stderr.split())
    assert "darkroom up" not in refused.stderr
