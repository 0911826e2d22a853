from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from cluster.options import ImageOptions
from tests.unit.actors.imaging.pictures import LIMITS, photo, save

if {tuned}:
    keep_freed_memory()
source = save(photo(1000, 1000), "JPEG", quality=95)
for _ in range(3):
    compress(source, ImageOptions(), LIMITS)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    compress(source, ImageOptions(), LIMITS)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, tuned: bool) -> int:
    program = _PROGRAM.format(tuned=tuned)
    return int(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_the_next_picture_finds_the_memory_of_the_last_one() -> None:
    assert page_faults(tuned=True) * 5 < page_faults(tuned=False)
