"""`python -m tests.bench.codecs pillow`: the CPU time of one library's codec, and its outputs, a line for each job."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def main(codec: str) -> None:
    """Answer jobs until the input ends."""
    compress = import_module(f"tests.bench.codecs.by_{codec}").compress
    for line in sys.stdin:
        job = json.loads(line)
        sources = [Path(file).read_bytes() for file in job["files"]]
        settings = {"quality": job["quality"], "optimise": job["optimise"]}
        outputs = [compress(source, **settings) for source in sources]
        for number, output in enumerate(outputs):
            Path(job["folder"], f"{number}.jpg").write_bytes(output)
        print(json.dumps({"cpuSeconds": _cpu_seconds(compress, sources, settings, job["passes"])}), flush=True)


def _cpu_seconds(compress: Any, sources: list[bytes], settings: dict[str, Any], passes: int) -> float:  # noqa: ANN401 - a module's
    """Return the CPU time of one image, over all passes."""
    before = time.process_time()
    for _ in range(passes):
        for source in sources:
            compress(source, **settings)
    return (time.process_time() - before) / max(1, passes * len(sources))


if __name__ == "__main__":
    main(sys.argv[1])
