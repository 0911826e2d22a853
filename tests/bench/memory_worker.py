"""A process that compresses the mix, as one thread of a worker does, and prints its own size meanwhile."""

from __future__ import annotations

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from actors.imaging.gate import Limits
from cluster.options import ImageOptions
from cluster.settings import Settings
from tests.bench.pictures import mixed_pictures

SAMPLE_IMAGES = 250
_KIBIBYTE = 1024


def main(images: int, *, tuned: bool) -> None:
    """Print a line of JSON at every sample: images done, seconds, and bytes of memory."""
    if tuned:
        keep_freed_memory()
    kinds = mixed_pictures()
    weights = [kind.share for kind, _ in kinds]
    sources = [[path.read_bytes() for path in paths] for _, paths in kinds]
    order = random.Random(1)  # noqa: S311 - the same mix every time
    process, options, limits = psutil.Process(), ImageOptions(), Limits.of(Settings())
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as thread:
        for done in range(images + 1):
            if done % SAMPLE_IMAGES == 0 or done == images:
                memory = process.memory_full_info()
                sample = {"images": done, "rss": memory.rss, "pss": memory.pss, "peak_rss": _peak_rss()}
                print(json.dumps({**sample, "seconds": time.monotonic() - begun}), flush=True)
            source = order.choice(order.choices(sources, weights)[0])
            thread.submit(compress, source, options, limits).result()


def _peak_rss() -> int:
    """Return the peak of this program alone: the figure of `getrusage` includes the program that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), tuned=sys.argv[2] == "tuned")
