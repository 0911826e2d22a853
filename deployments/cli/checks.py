"""The checks of `darkroom doctor`."""

from __future__ import annotations

import asyncio
import importlib
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from cluster.client import ApiError, Darkroom
from cluster.settings import unknown_settings
from deployments.local import binaries, remedies
from deployments.local.mongod import Mongod
from deployments.local.named_stores import probe_named_stores
from deployments.local.redis_server import RedisServer
from deployments.local.seaweedfs import SeaweedFS
from deployments.local.stack import embedded_servers
from deployments.local.supervisor import is_supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.settings import Settings
    from deployments.local.home import Home

PYTHONS = ((3, 11), (3, 12))
FREE_DISK_BYTES = 2_000_000_000
FREE_MEMORY_BYTES = 2_500_000_000
OPEN_FILES = 4096
VERSION_TIMEOUT_SECONDS = 30
READYZ_TIMEOUT_SECONDS = 10
MEMINFO = Path("/proc/meminfo")
START_FIX = "Run `darkroom up --detach`."
NAMED_FIX = "Check DARKROOM_URL. On a cluster, `serve deploy` must have succeeded on the head node."
STORES = {
    "mongodb": "Check that MongoDB runs and can be reached. An embedded one is started again: see logs/supervisor.log.",
    "redis": "Check that Redis runs and can be reached. An embedded one is started again: see logs/supervisor.log.",
    "s3": "Check that S3 can be reached and used. An embedded one is started again: see logs/supervisor.log.",
    "preparation": "The indexes or the bucket could not be made. Check that the credentials may make them.",
    "rayHead": "It is started again, or by systemd (`journalctl --user -u ray`). Accepted requests may wait for it.",
    "queueManager": "Wait a few seconds: Ray starts it again. If not, run `darkroom down`, then `darkroom up`.",
}


class Verdict(Enum):
    """The verdict of a check. The value is its form in JSON."""

    GOOD = True
    FAULTY = False
    NEUTRAL = None  # not needed, not running or not known


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""

    def document(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return {"name": self.name, "ok": self.verdict.value, "detail": self.detail, "fix": self.fix}


def check_machine(settings: Settings) -> Iterator[Check]:
    """Check everything that `darkroom up` needs."""
    yield _python()
    yield _settings()
    for module, remedy in (
        ("pyvips", "Run `pip install pyvips-binary`."),
        ("PIL", "Run `pip install pillow`."),
        ("ray", "Run `pip install 'ray[serve]'`."),
    ):
        yield _module(module, remedy)
    embedded = embedded_servers(settings)
    for name, find in (
        (Mongod.name, binaries.mongod),
        (RedisServer.name, binaries.redis_server),
        (SeaweedFS.name, binaries.weed),
    ):
        if name in embedded:
            yield _program(name, find)
    for name, problem in asyncio.run(probe_named_stores(settings)):
        detail = "the store that you named answers" if problem is None else str(problem)
        yield Check(name, Verdict(problem is None), detail)
    yield _disk(settings)
    yield _memory()
    yield _open_files()


def check_service(settings: Settings, home: Home) -> Iterator[Check]:
    """Check the running service by its answer to `/readyz`."""
    url = settings.url or home.url
    if url is None:
        yield Check("service", Verdict.NEUTRAL, "not running: `darkroom up --detach` starts it")
        return
    try:
        with Darkroom(url, timeout_seconds=READYZ_TIMEOUT_SECONDS) as darkroom:
            readiness = darkroom.ready()
    except ApiError as error:
        is_stopped = error.code == "unreachable" and settings.url is None
        verdict = Verdict.NEUTRAL if is_stopped else Verdict.FAULTY
        yield Check("service", verdict, error.detail, START_FIX if settings.url is None else NAMED_FIX)
        return
    yield Check("service", Verdict(readiness.ready), f"{url} is {'ready' if readiness.ready else 'not ready'}")
    if url == home.url and not is_supervised(home):
        detail = "not running: dead servers stay dead"
        yield Check("supervisor", Verdict.FAULTY, detail, "Run `darkroom up --detach`.")
    for name, check in readiness.checks.items():
        detail = check.get("detail") or "answers"
        yield Check(name, Verdict(bool(check.get("ok"))), detail, "" if check.get("ok") else STORES.get(name, ""))


def _python() -> Check:
    fine = sys.version_info[:2] in PYTHONS
    fix = "" if fine else "Use Python 3.11 or 3.12: `sudo apt install python3.11 python3.11-venv`."
    return Check("python", Verdict(fine), f"{platform.python_version()} on {platform.machine()}", fix)


def _settings() -> Check:
    misspelt = unknown_settings()
    if misspelt:
        return Check(
            "settings",
            verdict=Verdict.FAULTY,
            detail=f"there is no setting {', '.join(misspelt)}",
            fix="Correct the name, or remove it. cluster/SETTINGS.md lists all settings.",
        )
    return Check("settings", verdict=Verdict.GOOD, detail="valid")


def _module(name: str, fix: str) -> Check:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return Check(name, verdict=Verdict.FAULTY, detail=str(error), fix=fix)
    return Check(name, verdict=Verdict.GOOD, detail=str(getattr(module, "__version__", "installed")))


def _program(name: str, find: Callable[[], Path]) -> Check:
    try:
        path = find()
    except FileNotFoundError as error:
        return Check(name, verdict=Verdict.FAULTY, detail=str(error), fix=remedies.INSTALL)
    arguments = ["version"] if path.name == "weed" else ["--version"]
    done = subprocess.run(  # noqa: S603 - a program of ours
        [path, *arguments], capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        return Check(name, verdict=Verdict.FAULTY, detail=output[-300:], fix=remedies.remedy(done.returncode, output))
    return Check(name, verdict=Verdict.GOOD, detail=done.stdout.strip().splitlines()[0])


def _disk(settings: Settings) -> Check:
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    fine = free_bytes >= FREE_DISK_BYTES
    fix = "" if fine else f"Make room: Darkroom needs {decimal(FREE_DISK_BYTES)} beside your pictures."
    return Check("disk", Verdict(fine), f"{decimal(free_bytes)} free", fix)


def _memory() -> Check:
    free_bytes = _available_memory_bytes()
    if free_bytes is None:
        return Check("memory", Verdict.NEUTRAL, "not known on this system")
    fine = free_bytes >= FREE_MEMORY_BYTES
    fix = "" if fine else f"Stop other programs: the embedded servers take about {decimal(FREE_MEMORY_BYTES)}."
    return Check("memory", Verdict(fine), f"{decimal(free_bytes)} available", fix)


def _available_memory_bytes() -> int | None:
    """Return `MemAvailable` of proc(5)."""
    if not MEMINFO.exists():
        return None
    line = next(line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fine = soft >= OPEN_FILES or hard >= OPEN_FILES
    return Check("open files", Verdict(fine), f"limit {soft:,}", "" if fine else f"Run `ulimit -n {OPEN_FILES}`.")
