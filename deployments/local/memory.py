"""The memory that each part of the embedded stack takes, as proportional set size: shared pages are divided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.local import processes
from deployments.local.ray_head import RayHead
from deployments.local.state import StateFile

if TYPE_CHECKING:
    from deployments.local.home import Home

_PROC = Path("/proc")
_KIBIBYTE = 1024

_RAY_PARTS = (
    ("gcs_server", "gcs"),
    ("raylet/raylet", "raylet"),
    ("ray.util.client.server", "client server"),
    ("ray::DashboardAgent", "dashboard and agents"),
    ("ray::RuntimeEnvAgent", "dashboard and agents"),
    ("dashboard", "dashboard and agents"),
    ("multiprocessing", "dashboard and agents"),
    ("ray::IDLE", "idle workers"),
    ("ray::ServeController", "serve controller"),
    ("ray::ProxyActor", "serve proxy"),
    ("ray.scripts.scripts", "ray start"),
)
_TITLE = "ray::"


def memory_by_part(home: Home) -> list[tuple[str, int]]:
    """Return pairs of a part and its bytes, sorted by part. The processes of one part are added up."""
    total: Counter[str] = Counter()
    for name, started in StateFile(home.state_file).read().servers.items():
        for process in processes.process_tree(started.process, home.path):
            part = f"{name}: {ray_part(processes.command_line(process.pid))}" if name == RayHead.name else name
            total[part] += _pss_bytes(process.pid)
    return sorted(total.items())


def ray_part(command_line: str) -> str:
    """Return the part that a process of Ray is, by its command line. A worker's is a title (`ray::Class.method`)."""
    for text, part in _RAY_PARTS:
        if text in command_line:
            return part
    if command_line.startswith(_TITLE):
        return command_line.removeprefix(_TITLE).split(".")[0].split("(")[0].strip()
    return "other"


def _pss_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended since
        return 0
    return next((int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith("Pss:")), 0)
