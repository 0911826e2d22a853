"""The cold start of a worker: how long the imports of a fresh process take."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import NamedTuple

STARTS = 5
WORST = 10
_MODULES = ("actors.worker.process", "actors.request.coordinator", "ray")
_COUNT = "import sys; before = len(sys.modules); import {module}; print(len(sys.modules) - before)"
_PREFIX = "import time:"


class Import(NamedTuple):
    """The import of one module, without the modules that it imports itself."""

    own_ms: float
    module: str


def run() -> None:
    """Print seconds, modules, and the worst of them."""
    print(f"### Cold start of a worker, median of {STARTS}")
    print()
    print("| import of | seconds | modules |")
    print("| --- | ---: | ---: |")
    print(f"| nothing | {_seconds('pass'):.2f} | |")
    for module in _MODULES:
        count = int(_output(_COUNT.format(module=module)).stdout)
        print(f"| `{module}` | {_seconds(f'import {module}'):.2f} | {count} |")
    print()
    print(f"The {WORST} most expensive modules of `{_MODULES[0]}`, each without those that it imports:")
    print()
    print("| module | ms |")
    print("| --- | ---: |")
    for each in sorted(_imports(_MODULES[0]), reverse=True)[:WORST]:
        print(f"| `{each.module}` | {each.own_ms:.1f} |")
    print(flush=True)


def _seconds(program: str) -> float:
    found = []
    for _ in range(STARTS):
        begun = time.monotonic()
        _output(program)
        found.append(time.monotonic() - begun)
    return median(found)


def _imports(module: str) -> list[Import]:
    """Read lines such as `import time:       210 |       1234 |   asyncio.events`, in microseconds."""
    lines = _output(f"import {module}", "-X", "importtime").stderr.splitlines()
    cells = [line.removeprefix(_PREFIX).split("|") for line in lines if line.startswith(_PREFIX)]
    return [Import(int(own) / 1000, name.strip()) for own, _, name in cells[1:]]


def _output(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", program], capture_output=True, text=True, check=True)
