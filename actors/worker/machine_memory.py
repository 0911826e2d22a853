"""The memory of this machine, or of the container that this process is in."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")  # of version 2, as a container sees its own
_RESIDENT = 1  # the field of /proc/PID/statm, in pages; see proc(5)


def used_fraction() -> float:
    """Return the share of the memory that is in use and cannot be freed at once."""
    machine = psutil.virtual_memory()
    return max(1 - machine.available / machine.total, _used_fraction_of_container())


def resident_bytes(pid: int) -> int:
    """Return the resident set size of a process. Raises `OSError` when it has ended."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")


def _used_fraction_of_container() -> float:
    try:
        limit_bytes = int((_CGROUP / "memory.max").read_text())  # "max" without a limit
        used_bytes = int((_CGROUP / "memory.current").read_text())
        figures = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return (used_bytes - int(figures["inactive_file"])) / limit_bytes
