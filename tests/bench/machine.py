"""The head of a report: the machine, the day and the command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil


def print_machine() -> None:
    """Print the lines without which the figures mean nothing."""
    memory = psutil.virtual_memory().total / 2**30
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    print(f"- machine: {_cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}")
    print(f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    print(f"- command: `{command}`", end="\n\n", flush=True)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
