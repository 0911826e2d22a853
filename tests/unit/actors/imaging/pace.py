"""The present pace of the machine. A shared one is slower for minutes, even in CPU time."""

from __future__ import annotations

import time

from tests.unit.actors.imaging.pictures import photo, run, save

USUAL_REFERENCE_CPU_SECONDS = 0.155
"""The time that the reference job takes on a machine of usual pace."""
SLOWEST_PACE = 2.5


def slowdown() -> float:
    """Return the factor by which a limit in CPU seconds grows now. It is 1 on a machine of usual pace."""
    return min(SLOWEST_PACE, max(1.0, reference_cpu_seconds() / USUAL_REFERENCE_CPU_SECONDS))


def reference_cpu_seconds() -> float:
    """Return the CPU time of a fixed job: a PNG that is encoded again."""
    source = save(photo(1_200, 1_000), "PNG")
    started = time.process_time()
    run(source)
    return time.process_time() - started
