"""`python -m tests.bench`."""

from __future__ import annotations

from tests.bench import throughput

if __name__ == "__main__":
    throughput.run()
